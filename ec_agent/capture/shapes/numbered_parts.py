"""Uses the numbers of parts to find parts that came twice, and parts that never came.

Events of the Responses API are numbered. Parts of legacy completions say where in the text their tokens begin. Both are
used only if they fit the rest of the stream, because some servers write -1, or count something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ec_agent.capture.shapes.values import count, get, listed

_DELTA = "response.output_text.delta"
# The events after the last event with text, in this order.
_CLOSING = ("response.output_text.done", "response.content_part.done", "response.output_item.done")
# The events before the first event with text, the latest first.
_OPENING = (
    "response.content_part.added",
    "response.output_item.added",
    "response.in_progress",
    "response.created",
)
_MOST_HOLES = 1000  # if more parts than this seem to be lost, the numbers do not count parts


def in_place(parts: Sequence[Any]) -> Sequence[Any]:
    """Return the parts in order and each once. A part that never came is replaced by a token without logprobs."""
    if not parts:
        return parts
    if any(str(get(part, "type")).startswith("response.") for part in (parts[0], parts[-1])):
        return _events(parts)
    first = next((choices for part in parts if (choices := listed(get(part, "choices")))), [])
    if any(get(choice, "text") is not None for choice in first):
        return _completions(parts)
    return parts


def _events(events: Sequence[Any]) -> Sequence[Any]:
    """Sort events by their numbers and fill gaps, if the numbers are plausible. Otherwise return them unchanged."""
    numbers = [count(get(event, "sequence_number")) for event in events]
    by_number: dict[int, Any] = {}
    for number, event in zip(numbers, events, strict=True):
        if number is None or not _same(by_number.setdefault(number, event), event):
            return events  # two different events have one number, so the numbers count something else
    order = sorted(by_number)
    apart = [after - before - 1 for before, after in pairwise(order)]
    if sum(map(bool, apart)) * 2 > len(apart) or max(apart, default=0) > _MOST_HOLES:
        return events  # too many gaps: the server does not number each event
    placed: list[Any] = []
    for before, after in zip([None, *order], order, strict=False):
        if before is not None:
            placed += _lost(by_number[before], by_number[after], after - before - 1)
        placed.append(by_number[after])
    return placed


def _same(event: Any, other: Any) -> bool:
    return all(get(event, name) == get(other, name) for name in ("type", "delta", "output_index"))


def _lost(before: Any, after: Any, missing: int) -> list[Any]:
    """Return replacements for the lost events between two events, if they had text.

    Args:
        before: the event before the lost ones.
        after: the event after them.
        missing: how many events are lost.
    """
    kinds = [get(event, "type") for event in (before, after)]
    if not missing or _DELTA not in (*kinds, "response.content_part.added" if kinds[1] in _CLOSING else None):
        return []
    # Some of the lost events are opening or closing events without text. They are subtracted.
    closing = _CLOSING.index(kinds[1]) if kinds[1] in _CLOSING else 0 if kinds[1] == _DELTA else len(_CLOSING)
    opening = _OPENING.index(kinds[0]) if kinds[0] in _OPENING else 0 if kinds[0] == _DELTA else len(_OPENING)
    closing += opening
    place = {"output_index": get(before if kinds[0] == _DELTA else after, "output_index")}
    return [{"type": _DELTA, **place, "delta": "", "logprobs": [None]}] * max(missing - closing, 0)


class _Span(NamedTuple):
    """Where the tokens of a part are in the text: the index of the part, of the choice in it, and start and end."""

    part: int
    choice: int
    start: int
    end: int


def _completions(parts: Sequence[Any]) -> Sequence[Any]:
    lanes: dict[int, list[_Span]] = {}
    for number, part in enumerate(parts):
        for place, choice in enumerate(listed(get(part, "choices"))):
            begin_end = _span(get(choice, "logprobs"))
            if begin_end is not None:
                lanes.setdefault(count(get(choice, "index")) or 0, []).append(_Span(number, place, *begin_end))
    changed: dict[int, dict[int, int]] = {}
    for spans in lanes.values():
        for span, lost in _moved(spans):
            changed.setdefault(span.part, {})[span.choice] = lost
    return [_changed(part, changed[number]) if number in changed else part for number, part in enumerate(parts)]


def _span(logprobs: Any) -> tuple[int, int] | None:
    offsets, texts = listed(get(logprobs, "text_offset")), listed(get(logprobs, "tokens"))
    if not offsets or len(offsets) != len(texts) or not all(isinstance(text, str) for text in texts):
        return None
    for offset, text, after in zip(offsets, texts, offsets[1:], strict=False):
        if count(offset) is None or offset + len(text) != after:
            return None
    return None if count(offsets[-1]) is None else (offsets[0], offsets[-1] + len(texts[-1]))


def _moved(spans: Sequence[_Span]) -> Iterator[tuple[_Span, int]]:
    """Yield parts that do not begin where the part before ends.

    With each comes 0 if the part came twice, or 1 if text before it is lost.
    """
    pairs = list(pairwise(spans))
    if sum(before.end == after.start for before, after in pairs) * 2 < len(pairs) or len(pairs) < 2:
        return
    for before, after in pairs:
        if after.start > before.end:
            yield after, 1
        elif before[2:] == after[2:] and after.end > after.start:
            yield after, 0


def _changed(part: Any, choices: Mapping[int, int]) -> dict[str, Any]:
    """Return the part without choices that came twice, and with a token where text before it is lost.

    Args:
        part: the part.
        choices: for some choices, by index: 0 if it came twice, 1 if text before it is lost.
    """
    held = [
        _choice(choice, choices[place]) if place in choices else choice
        for place, choice in enumerate(listed(get(part, "choices")))
    ]
    kept = {name: get(part, name) for name in ("id", "object", "model", "usage")}
    return {**kept, "choices": [choice for choice in held if choice is not None]}


def _choice(choice: Any, lost: int) -> dict[str, Any]:
    kept = {name: get(choice, name) for name in ("index", "finish_reason", "text")}
    if not lost:
        return {**kept, "text": "", "logprobs": None}
    lists = {name: listed(get(choice, "logprobs", name)) for name in ("tokens", "token_logprobs", "top_logprobs")}
    first = {"tokens": "", "token_logprobs": None, "top_logprobs": None}
    return {**kept, "logprobs": {name: [first[name], *values] for name, values in lists.items()}}
