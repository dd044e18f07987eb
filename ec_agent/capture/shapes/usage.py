"""What the parts of a streamed answer tell of its usage, brought to one.

OpenAI's wire format has one usage, in a chunk after all others. Routes also send it twice, in several closing chunks
that differ in detail, as a running total in every chunk, or with zeros until the end; a few send increments. Added up,
as LangChain adds up the parts of a message, all but the last come out too large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ec_agent.capture.shapes.reading import count, first, get, listed

_GENERATED = ("completion_tokens", "output_tokens")
_ASKED = ("prompt_tokens", "input_tokens")
_RUNNING = 4  # counts that grow from part to part: so many increments do not grow by chance


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """One usage that came with a part.

    Attributes:
        usage: an object or its JSON form.
        speaks: whether the part holds something of the answer too.
    """

    usage: Any
    speaks: bool

    @property
    def generated(self) -> int:
        """Generated tokens; 0 where it does not say."""
        return count(first(self.usage, *_GENERATED)) or 0

    @property
    def asked(self) -> int:
        """Tokens of the prompt; 0 where it does not say."""
        return count(first(self.usage, *_ASKED)) or 0


@dataclass(slots=True)
class Usages:
    """The usages of one streamed answer, as they come.

    Attributes:
        told: each, in order.
        spoken: how many parts hold something of the answer.
    """

    told: list[ReportedUsage] = field(default_factory=list)
    spoken: int = 0

    def hear(self, usage: Any, speaks: bool) -> None:
        """A part comes, with a usage or without."""
        self.spoken += speaks
        if _counts(usage):
            self.told.append(ReportedUsage(usage, speaks))

    def total(self, entries: int, *, adds_up: bool = False) -> Any:
        """The usage of the whole answer, as a mapping or an object; ``None`` where no part tells one.

        Args:
            entries: how many tokens came with logprobs; a count that equals it is believed first.
            adds_up: where nothing tells totals from increments, take them for increments.
        """
        if len(self.told) < 2:
            return self.told[0].usage if self.told else None
        plain = [_plain(each.usage) for each in self.told]
        if self._increments(entries, adds_up):
            return _added(plain)
        chosen = self._chosen(entries)
        return _filled(plain[chosen], [*plain[:chosen], *plain[chosen + 1 :]])

    def generated(self, entries: int, *, adds_up: bool = False) -> int | None:
        """Generated tokens of the whole answer; see ``total``."""
        return count(first(self.total(entries, adds_up=adds_up), *_GENERATED))

    def _increments(self, entries: int, adds_up: bool) -> bool:
        """Whether each usage tells of what came since the one before."""
        told = [each for each in self.told if each.generated]
        counts = [each.generated for each in told]
        asked = [each.asked for each in self.told if each.asked]
        if len(counts) < 2:
            return adds_up and len(set(asked)) > 1
        if fits(counts[-1], entries) or fits(max(counts), entries):
            return False
        if len({*counts}) >= _RUNNING and counts == sorted(counts) and len(counts) - len({*counts}) <= 1:
            return False  # each larger than the one before; the last perhaps told once more
        silent = [each.usage for each in told if not each.speaks]
        if len(silent) > 1 and all(usage == silent[0] for usage in silent):
            return False
        if fits(sum(counts), entries):
            return True
        # Of increments, only one tells the prompt, for else that would be added up as well.
        if len(asked) > 1 and asked == sorted(asked):
            return False
        if len(counts) >= _RUNNING and all(before < after for before, after in pairwise(counts)):
            return False
        speaking = len(told) - len(silent)
        return adds_up or (speaking > 2 and speaking >= self.spoken > max(counts))

    def _runs(self) -> bool:
        """Whether it is a total that grows as the answer does; what fits on the way is not the end of it."""
        counts = [each.generated for each in self.told if each.generated]
        speaking = {each.generated for each in self.told if each.generated and each.speaks}
        return len(speaking) > 1 and counts == sorted(counts)

    def _chosen(self, entries: int) -> int:
        """The place of the total to believe: the end of a running one, one that fits, the closing one, the largest."""
        counts = [each.generated for each in self.told]
        order = sorted((place for place, each in enumerate(counts) if each), reverse=True)
        if self._runs():
            return order[0]
        fitting = [place for place in order if fits(counts[place], entries)]
        closing = [place for place in order[:1] if not self.told[place].speaks]
        largest = sorted(order, key=lambda place: counts[place], reverse=True)
        return [*fitting, *closing, *largest, len(counts) - 1][0]


def usage_in(part: Any) -> Any:
    """The usage that a part tells: OpenAI's, Moonshot's in a choice, Groq's beside the choices."""
    found = get(part, "usage")
    if not found:
        found = next((usage for choice in listed(get(part, "choices")) if (usage := get(choice, "usage"))), None)
    return found or get(part, "x_groq", "usage")


def thought_in(usage: Any) -> int:
    """Tokens of thinking, where a usage counts them apart: OpenAI's names, and Gemini's; else 0."""
    apart = first(usage, "completion_tokens_details", "output_tokens_details")
    told = count(get(apart, "reasoning_tokens"))
    return (count(first(usage, "thoughts_token_count", "thoughtsTokenCount")) if told is None else told) or 0


def with_thinking(usage: Any, tokens: int | None, prompt: int | None) -> int | None:
    """The count of generated tokens, those of thinking among them: xAI has these in the total alone."""
    thought = thought_in(usage)
    total = count(get(usage, "total_tokens"))
    if not thought or tokens is None or total is None or total != (prompt or 0) + tokens + thought:
        return tokens
    return tokens + thought


def fits(tokens: int | None, entries: int) -> bool:
    """Whether a count is that of the tokens that came with logprobs; the end token may have none."""
    return bool(entries) and tokens in (entries, entries + 1)


def _counts(usage: Any) -> bool:
    """Whether it may hold counts by their names."""
    return bool(usage) and (isinstance(usage, Mapping) or hasattr(usage, "__dict__"))


def _plain(usage: Any) -> Any:
    """The usage as dictionaries."""
    if not _counts(usage):
        return usage
    if not isinstance(usage, Mapping):
        usage = {**vars(usage), **(getattr(usage, "model_extra", None) or {})}
    return {name: _plain(value) for name, value in usage.items()}


def _filled(usage: Any, others: Sequence[Any]) -> Any:
    """The usage, with what the others tell where it tells nothing or 0."""
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
