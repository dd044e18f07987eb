"""What an answer says, read from its raw JSON without any code of ``ec_agent``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from answer_tap import Exchange

MASKED = -745.0  # exp() of anything below is 0
NAN = math.nan


@dataclass
class Choice:
    """One choice of an answer.

    Attributes:
        entries: the tokens with logprobs, as they stand in the JSON.
        text: the content, and reasoning beside it.
        calls: names of the tools called.
        finish: the finish reason.
        top: how many candidates were asked for. Where more come, the likeliest count: llama-cpp-python adds the sampled
            token to the k likeliest.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    thought: str = ""
    calls: list[str] = field(default_factory=list)
    finish: str | None = None
    top: int | None = None

    @property
    def rows(self) -> list[list[dict[str, Any]]]:
        """The candidates of each token."""
        return [entry.get("top_logprobs") or [] for entry in self.entries]

    @property
    def entropies(self) -> list[float]:
        """One number a token, NaN where it has none."""
        return [entropy(entry, self.top) for entry in self.entries]

    @property
    def known(self) -> list[float]:
        """The entropies that there are."""
        return [each for each in self.entropies if not math.isnan(each)]


@dataclass
class Answer:
    """A whole answer, or a streamed one put together.

    Attributes:
        choices: by index.
        counted: generated tokens of all choices, as the usage says.
        models: every name of a model in it.
    """

    choices: list[Choice]
    counted: int | None = None
    models: set[str] = field(default_factory=set)

    @property
    def first(self) -> Choice:
        return self.choices[0]


def read(exchange: Exchange) -> Answer:
    """An answer of chat completions."""
    top = exchange.asked.get("top_logprobs")
    parts = exchange.events if exchange.streamed else [exchange.answer]
    found: dict[int, Choice] = {}
    answer = Answer([])
    for part in parts:
        if isinstance(model := part.get("model"), str) and model:
            answer.models.add(model)
        if usage := part.get("usage"):
            answer.counted = usage.get("completion_tokens", usage.get("output_tokens"))
        for choice in part.get("choices") or []:
            _add(found.setdefault(choice.get("index", 0), Choice(top=top)), choice)
    answer.choices = [found[index] for index in sorted(found)]
    return answer


def _add(to: Choice, choice: dict[str, Any]) -> None:
    said = choice.get("delta") or choice.get("message") or {}
    to.text += said.get("content") or choice.get("text") or ""
    to.thought += said.get("reasoning_content") or said.get("reasoning") or ""
    to.calls += [name for call in said.get("tool_calls") or [] if (name := (call.get("function") or {}).get("name"))]
    to.finish = choice.get("finish_reason") or to.finish
    to.entries += entries_of(choice.get("logprobs"))


def entries_of(logprobs: Any) -> list[dict[str, Any]]:
    """The tokens: a list under ``content``, a bare list, a single bare token, or the parallel lists of old."""
    if not logprobs:
        return []
    if isinstance(logprobs, list):
        return logprobs
    if isinstance(logprobs.get("tokens"), list):
        return list(_from_lists(logprobs))
    if "content" in logprobs:
        return logprobs["content"] or []
    return [logprobs] if "logprob" in logprobs else []


def _from_lists(lists: dict[str, Any]) -> Iterator[dict[str, Any]]:
    tops = lists.get("top_logprobs") or [None] * len(lists["tokens"])
    for token, own, top in zip(lists["tokens"], lists["token_logprobs"], tops, strict=True):
        row = [{"token": text, "logprob": value} for text, value in (top or {}).items()]
        yield {"token": token, "logprob": own, "top_logprobs": row}


def entropy(entry: dict[str, Any], top: int | None = None) -> float:
    """Of one token over its candidates, in nats; NaN where there are none, all are masked, or it is a placeholder."""
    row = candidates(entry.get("top_logprobs") or [])
    values = sorted((each["logprob"] for each in row), reverse=True)[: top or None]
    weights = [math.exp(value) for value in values if value > MASKED]
    if not weights or not all(math.isfinite(value) for value in values):
        return NAN
    if entry.get("logprob") == 0.0 and values[0] < math.log(0.999):
        return NAN  # "certain", and its candidates say that it is not
    whole = math.fsum(weights)
    return -math.fsum(w / whole * math.log(w / whole) for w in weights if w)


def candidates(row: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each candidate once: the same token number, or the same whole text, is the same candidate."""
    seen: dict[Any, dict[str, Any]] = {}
    for place, each in enumerate(row):
        number, text = each.get("id"), each.get("token")
        whole = isinstance(text, str) and text and "\ufffd" not in text
        name = number if number is not None else (text, str(each.get("bytes"))) if whole else place
        seen.setdefault(name if number is not None or whole else ("?", place), each)
    return list(seen.values())


def inside(entry: dict[str, Any]) -> bool:
    """Whether a token is among its own candidates, by number, bytes or text."""
    row = entry.get("top_logprobs") or []
    for name in ("id", "bytes", "token"):
        if entry.get(name):
            return any(each.get(name) == entry[name] for each in row)
    return False
