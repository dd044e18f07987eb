"""Makes one usage out of those that the parts of a streamed answer bring.

In OpenAI's format there is one usage, in a chunk after all others. Other endpoints send it twice, or in several chunks
at the end that differ in detail, or as a running total in every chunk, or with zeros until the end. A few send
increments. LangChain adds up the usages of all parts, which is right only for increments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ec_agent.capture.shapes.values import count, first, get, listed

_GENERATED = ("completion_tokens", "output_tokens")
_ASKED = ("prompt_tokens", "input_tokens")
_RUNNING = 4  # this many counts that grow from part to part are a running total; increments do not grow so often


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """One usage that came with a part.

    Attributes:
        usage: the usage, as an object or JSON.
        speaks: whether the part also holds a piece of the answer.
    """

    usage: Any
    speaks: bool

    @property
    def generated(self) -> int:
        """Number of generated tokens, or 0 if the usage does not say it."""
        return count(first(self.usage, *_GENERATED)) or 0

    @property
    def asked(self) -> int:
        """Number of tokens in the prompt, or 0 if the usage does not say it."""
        return count(first(self.usage, *_ASKED)) or 0


@dataclass(slots=True)
class Usages:
    """The usages of one streamed answer, collected part by part.

    Attributes:
        told: the usages that came, in order.
        spoken: how many parts hold a piece of the answer.
    """

    told: list[ReportedUsage] = field(default_factory=list)
    spoken: int = 0

    def add(self, usage: Any, speaks: bool) -> None:
        """Take note of a part, with or without a usage. ``speaks`` says whether it holds a piece of the answer."""
        self.spoken += speaks
        if _counts(usage):
            self.told.append(ReportedUsage(usage, speaks))

    def total(self, entries: int, *, adds_up: bool = False) -> Any:
        """Return the usage of the whole answer, as a mapping or an object, or ``None`` if no part has one.

        Args:
            entries: how many tokens came with logprobs. A count that equals it is preferred.
            adds_up: whether to add the usages up if nothing shows whether they are totals or increments.
        """
        if len(self.told) < 2:
            return self.told[0].usage if self.told else None
        plain = [_plain(each.usage) for each in self.told]
        if self._increments(entries, adds_up):
            return _added(plain)
        chosen = self._chosen(entries)
        return _filled(plain[chosen], [*plain[:chosen], *plain[chosen + 1 :]])

    def generated(self, entries: int, *, adds_up: bool = False) -> int | None:
        """Return the number of generated tokens of the whole answer; see ``total``."""
        return count(first(self.total(entries, adds_up=adds_up), *_GENERATED))

    def _increments(self, entries: int, adds_up: bool) -> bool:
        """Tell whether each usage counts only the tokens since the one before."""
        told = [each for each in self.told if each.generated]
        counts = [each.generated for each in told]
        asked = [each.asked for each in self.told if each.asked]
        if len(counts) < 2:
            return adds_up and len(set(asked)) > 1
        if fits(counts[-1], entries) or fits(max(counts), entries):
            return False
        if len({*counts}) >= _RUNNING and counts == sorted(counts) and len(counts) - len({*counts}) <= 1:
            return False  # a running total: each is larger than the one before, and the last may come twice
        silent = [each.usage for each in told if not each.speaks]
        if len(silent) > 1 and all(usage == silent[0] for usage in silent):
            return False
        if fits(sum(counts), entries):
            return True
        # If the usages were increments, only one of them would count the prompt.
        if len(asked) > 1 and asked == sorted(asked):
            return False
        if len(counts) >= _RUNNING and all(before < after for before, after in pairwise(counts)):
            return False
        speaking = len(told) - len(silent)
        return adds_up or (speaking > 2 and speaking >= self.spoken > max(counts))

    def _runs(self) -> bool:
        """Tell whether the usages are a running total, which grows from part to part. Only the last one counts then."""
        counts = [each.generated for each in self.told if each.generated]
        speaking = {each.generated for each in self.told if each.generated and each.speaks}
        return len(speaking) > 1 and counts == sorted(counts)

    def _chosen(self, entries: int) -> int:
        """Return the index of the usage to use: the last of a running total; else one that fits; the last; the largest.

        Args:
            entries: how many tokens came with logprobs.
        """
        counts = [each.generated for each in self.told]
        order = sorted((place for place, each in enumerate(counts) if each), reverse=True)
        if self._runs():
            return order[0]
        fitting = [place for place in order if fits(counts[place], entries)]
        closing = [place for place in order[:1] if not self.told[place].speaks]
        largest = sorted(order, key=lambda place: counts[place], reverse=True)
        return [*fitting, *closing, *largest, len(counts) - 1][0]


def usage_in(part: Any) -> Any:
    """Return the usage in a part: at OpenAI's place, in a choice (Moonshot), or in ``x_groq``."""
    found = get(part, "usage")
    if not found:
        found = next((usage for choice in listed(get(part, "choices")) if (usage := get(choice, "usage"))), None)
    return found or get(part, "x_groq", "usage")


def thought_in(usage: Any) -> int:
    """Return the number of thinking tokens if a usage counts them separately (OpenAI's and Gemini's names), else 0."""
    apart = first(usage, "completion_tokens_details", "output_tokens_details")
    told = count(get(apart, "reasoning_tokens"))
    return (count(first(usage, "thoughts_token_count", "thoughtsTokenCount")) if told is None else told) or 0


def with_thinking(usage: Any, tokens: int | None, prompt: int | None) -> int | None:
    """Return the number of generated tokens, including thinking. xAI counts thinking only in the total.

    Args:
        usage: the usage.
        tokens: the count of generated tokens in it.
        prompt: the count of tokens in the prompt in it.
    """
    thought = thought_in(usage)
    total = count(get(usage, "total_tokens"))
    if not thought or tokens is None or total is None or total != (prompt or 0) + tokens + thought:
        return tokens
    return tokens + thought


def fits(tokens: int | None, entries: int) -> bool:
    """Tell whether a count of tokens fits the number of entries. The end token may have no entry."""
    return bool(entries) and tokens in (entries, entries + 1)


def _counts(usage: Any) -> bool:
    """Tell whether a usage may hold counts under names."""
    return bool(usage) and (isinstance(usage, Mapping) or hasattr(usage, "__dict__"))


def _plain(usage: Any) -> Any:
    """Turn a usage into dicts."""
    if not _counts(usage):
        return usage
    if not isinstance(usage, Mapping):
        usage = {**vars(usage), **(getattr(usage, "model_extra", None) or {})}
    return {name: _plain(value) for name, value in usage.items()}


def _filled(usage: Any, others: Sequence[Any]) -> Any:
    """Fill in counts from the other usages where this one has none, or 0."""
    merged = dict(usage)
    for other in reversed(others):
        for name, value in other.items():
            own = merged.get(name)
            if isinstance(own, dict) and isinstance(value, dict):
                merged[name] = _filled(own, [value])
            elif not own and value:
                merged[name] = value
    return merged


def _added(usages: Sequence[Any]) -> dict[str, Any]:
    added: dict[str, Any] = {}
    for usage in usages:
        for name, value in usage.items():
            own = added.get(name)
            if isinstance(own, dict) and isinstance(value, dict):
                added[name] = _added([own, value])
            elif count(own) is not None and count(value) is not None:
                added[name] = own + value
            elif not own:
                added[name] = value
    return added
