"""The table of the forms in which logprobs come. Each row turns one form into token entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ec_agent.capture.shapes.values import first, get, listed

Entries = list[Any]

HELD_UNDER = ("logprobs", "logprobs_result", "logprobsResult")
"""Keys under which an answer, a part of one, or a message has its logprobs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One form in which logprobs come.

    Attributes:
        name: its name in the tests and in docs/providers.md.
        looks: what a logprobs object of this form has, in words.
        read: function that returns its entries, one ``{"token", "logprob", "top_logprobs"}`` per generated token. Empty
            if the object has another form.
    """

    name: str
    looks: str
    read: Callable[[Any], Entries]


def _content(logprobs: Any) -> Entries:
    # Thinking is generated before the text, and a refusal in place of the text.
    parts = [get(logprobs, name) for name in ("reasoning_content", "content", "refusal")]
    return [entry for part in parts if part is not None for entry in (listed(part) or _single(part))]


def _of_parts(logprobs: Any) -> Entries:
    parts = listed(logprobs)
    holds = [isinstance(get(part, "content"), list) and get(part, "logprob") is None for part in parts]
    return [entry for part in parts for entry in _content(part)] if parts and all(holds) else []


def _bare(logprobs: Any) -> Entries:
    # Plain numbers are skipped: nothing says which tokens they are the logprobs of.
    return [entry for entry in listed(logprobs) if not isinstance(entry, int | float)]


def _single(logprobs: Any) -> Entries:
    named = any(get(logprobs, name) is not None for name in ("token", "bytes"))
    logprob = get(logprobs, "logprob")
    number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return [logprobs] if named and (number or listed(get(logprobs, "top_logprobs"))) else []


def _parallel(logprobs: Any) -> Entries:
    """Read the form of OpenAI's legacy completions: lists with one element per token."""
    texts, sampled, tops = (get(logprobs, name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if isinstance(texts, str) and isinstance(sampled, int | float):  # one token in place of a list of one
        texts, sampled, tops = [texts], [sampled], [tops]
    texts, sampled, tops = listed(texts), listed(sampled), listed(tops)
    entries = []
    for place in range(max(len(texts), len(sampled))):
        top = tops[place] if place < len(tops) else None
        entries.append(
            {
                "token": texts[place] if place < len(texts) else "",
                "logprob": sampled[place] if place < len(sampled) else None,
                "top_logprobs": [{"token": t, "logprob": lp} for t, lp in top.items()]
                if isinstance(top, Mapping)
                else [],
            }
        )
    return entries


def _gemini(logprobs: Any) -> Entries:
    chosen = listed(first(logprobs, "chosen_candidates", "chosenCandidates"))
    tops = listed(first(logprobs, "top_candidates", "topCandidates"))
    entries = []
    for place in range(max(len(chosen), len(tops))):
        token = _gemini_candidate(chosen[place] if place < len(chosen) else None)
        candidates = listed(get(tops[place], "candidates")) if place < len(tops) else []
        entries.append({**token, "top_logprobs": [_gemini_candidate(candidate) for candidate in candidates]})
    return entries


def _gemini_candidate(candidate: Any) -> dict[str, Any]:
    return {
        "token": get(candidate, "token"),
        "token_id": first(candidate, "token_id", "tokenId"),
        "logprob": first(candidate, "log_probability", "logProbability"),
    }


SHAPES: tuple[Shape, ...] = (
    Shape("content", "`content`, `refusal`, `reasoning_content`: lists of tokens with `top_logprobs`", _content),
    Shape("parts", "a list of such objects, one for each part of a stream", _of_parts),
    Shape("list", "a bare list of tokens with `top_logprobs`", _bare),
    Shape("single", "one token, with `top_logprobs`, in the place of a list of one", _single),
    Shape("parallel", "`tokens`, `token_logprobs`, `top_logprobs`: lists side by side", _parallel),
    Shape("candidates", "`chosen_candidates`, `top_candidates`, in snake or camel case", _gemini),
)


def entries_of(logprobs: Any) -> Entries:
    """Return the entries in a logprobs object of any form in the table. Empty if there are none."""
    if logprobs is None:  # quicker than to try all forms, and usual where no logprobs were asked for
        return []
    return next((entries for shape in SHAPES if (entries := shape.read(logprobs))), [])
