"""Parts of a stream that each hold all tokens so far: counted once.

A few routes resend with every part the logprobs of the parts before it, or with the last one those of all. What really
repeats itself ("ha ha ha") looks alike, so that such a reading must be told by the count of tokens or by the text, or
else by numbers: no model gives different tokens the same logprobs and candidates twice over, digit for digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from ec_agent.capture.shapes.reading import get, listed, mark, text_of
from ec_agent.capture.shapes.usage import fits

_TELLING = -1e-6  # a logprob below this is the token's own; those of certain tokens are alike

Entries = list[Any]
Tokens = int | Callable[[int], int | None]


def added(parts: Sequence[Entries], said: Callable[[], str] = str, tokens: Tokens | None = None) -> list[Entries]:
    """What each part adds to those before it: all of it as a rule.

    Args:
        parts: the entries of each part of one answer, in order.
        said: tells the text of them all, where known.
        tokens: generated tokens, where reported; or tells how many these are if so many entries came. Running totals
            of usage add up to the entries of parts that grow alike, so that they fit either way, and tell nothing.

    Returns:
        As many parts, some of them perhaps shorter.
    """
    told = [place for place, part in enumerate(parts) if part]
    came = sum(map(len, parts))
    too_many = came > (_counted(tokens, came) or came)
    rest = _growing(parts, told) or _summed_up(parts, told) or (_constant(parts, told) if too_many else None)
    return list(parts) if rest is None or not _believable(parts, rest, said, tokens) else rest


def _growing(parts: Sequence[Entries], told: Sequence[int]) -> list[Entries] | None:
    """Each part begins with the one before it."""
    rest: list[Entries] = list(parts)
    for place, later in pairwise(told):
        before, after = parts[place], parts[later]
        if not _begins_with(after, before):
            return None
        rest[later] = after[len(before) :]
    return rest if len(told) > 1 and len(parts[told[-1]]) > len(parts[told[0]]) else None


def _constant(parts: Sequence[Entries], told: Sequence[int]) -> list[Entries] | None:
    """All parts hold the same tokens: those after the first are such as have no logprobs of their own."""
    if len(told) < 2 or len(parts[told[0]]) < 2:
        return None
    if not all(len(parts[place]) == len(parts[told[0]]) for place in told):
        return None
    if not all(_begins_with(parts[place], parts[told[0]]) for place in told[1:]):
        return None
    return [part if place == told[0] else [] for place, part in enumerate(parts)]


def _summed_up(parts: Sequence[Entries], told: Sequence[int]) -> list[Entries] | None:
    """The last part holds what all before it held."""
    last = parts[told[-1]] if told else []
    came = sum(len(parts[place]) for place in told[:-1])
    if not 1 < came <= len(last) or not _begins_with(last, [e for place in told[:-1] for e in parts[place]]):
        return None
    rest: list[Entries] = list(parts)
    rest[told[-1]] = last[came:]
    return rest


def _begins_with(entries: Entries, others: Entries) -> bool:
    if len(entries) < len(others) or _candidates(entries[0]) != _candidates(others[0]):
        return False
    return all(mark(one) == mark(other) for one, other in zip(entries, others, strict=False))


def _believable(
    parts: Sequence[Entries], rest: Sequence[Entries], said: Callable[[], str], tokens: Tokens | None
) -> bool:
    sizes = [sum(map(len, each)) for each in (parts, rest)]
    as_came, as_left = (fits(_counted(tokens, size), size) for size in sizes)
    if as_came != as_left:
        return as_left
    # Where the text is resent as well, it is that of all parts, as in a stream that holds each token once.
    if (text := said()) and text == _text(rest) != _text(parts):
        return True
    again = [entry for part, new in zip(parts, rest, strict=True) for entry in part[: len(part) - len(new)]]
    different = len({mark(entry) for part in rest for entry in part}) > 1
    return different and any(_tells(entry) for entry in again)


def _counted(tokens: Tokens | None, entries: int) -> int | None:
    """Generated tokens, if so many entries came."""
    return tokens(entries) if callable(tokens) else tokens


def _text(parts: Sequence[Entries]) -> str:
    return "".join(text_of(entry) for part in parts for entry in part)


def _tells(entry: Any) -> bool:
    logprob = get(entry, "logprob")
    return isinstance(logprob, int | float) and logprob < _TELLING


def _candidates(entry: Any) -> list[tuple[str, str]]:
    return [mark(each) for each in listed(get(entry, "top_logprobs"))]
