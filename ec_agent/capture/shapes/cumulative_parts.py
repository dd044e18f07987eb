"""Recognises parts of a stream that repeat all tokens so far, so that each token counts once.

A few endpoints send the logprobs of all earlier parts again with each part, or those of the whole answer with the last
part. Text that really repeats itself ("ha ha ha") looks similar. So there must be evidence: the count of tokens, or the
text, or the numbers. A model does not give the same logprobs and candidates twice to different tokens, digit by digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from ec_agent.capture.shapes.usage import fits
from ec_agent.capture.shapes.values import get, listed, mark, text_of

_TELLING = -1e-6  # a logprob below this is evidence; those of certain tokens are all nearly 0

Entries = list[Any]
Tokens = int | Callable[[int], int | None]


def added(parts: Sequence[Entries], said: Callable[[], str] = str, tokens: Tokens | None = None) -> list[Entries]:
    """Return the new entries of each part: usually all its entries.

    Args:
        parts: the entries of each part of one answer, in order.
        said: function that returns the text of all parts, or an empty text.
        tokens: number of generated tokens, if reported. Or a function that returns the number, given how many entries
            came: the usages of a stream are interpreted by the number of entries, so that both may fit.

    Returns:
        The same number of parts, some of them perhaps shorter.
    """
    told = [place for place, part in enumerate(parts) if part]
    came = sum(map(len, parts))
    too_many = came > (_counted(tokens, came) or came)
    rest = _growing(parts, told) or _summed_up(parts, told) or (_constant(parts, told) if too_many else None)
    return list(parts) if rest is None or not _believable(parts, rest, said, tokens) else rest


def _growing(parts: Sequence[Entries], told: Sequence[int]) -> list[Entries] | None:
    """Return the new entries if each part begins with all entries of the part before it, else ``None``."""
    rest: list[Entries] = list(parts)
    for place, later in pairwise(told):
        before, after = parts[place], parts[later]
        if not _begins_with(after, before):
            return None
        rest[later] = after[len(before) :]
    return rest if len(told) > 1 and len(parts[told[-1]]) > len(parts[told[0]]) else None


def _constant(parts: Sequence[Entries], told: Sequence[int]) -> list[Entries] | None:
    """Return the new entries if all parts have the same entries, else ``None``. Only the first part's are new then."""
    if len(told) < 2 or len(parts[told[0]]) < 2:
        return None
    if not all(len(parts[place]) == len(parts[told[0]]) for place in told):
        return None
    if not all(_begins_with(parts[place], parts[told[0]]) for place in told[1:]):
        return None
    return [part if place == told[0] else [] for place, part in enumerate(parts)]


def _summed_up(parts: Sequence[Entries], told: Sequence[int]) -> list[Entries] | None:
    """Return the new entries if the last part repeats those of all parts before it, else ``None``."""
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
    # If the text fits the new entries, but not all that came, the others are repetitions.
    if (text := said()) and text == _text(rest) != _text(parts):
        return True
    repeated = [entry for part, new in zip(parts, rest, strict=True) for entry in part[: len(part) - len(new)]]
    different = len({mark(entry) for part in rest for entry in part}) > 1
    return different and any(_tells(entry) for entry in repeated)


def _counted(tokens: Tokens | None, entries: int) -> int | None:
    """Return the number of generated tokens, given how many entries came."""
    return tokens(entries) if callable(tokens) else tokens


def _text(parts: Sequence[Entries]) -> str:
    return "".join(text_of(entry) for part in parts for entry in part)


def _tells(entry: Any) -> bool:
    logprob = get(entry, "logprob")
    return isinstance(logprob, int | float) and logprob < _TELLING


def _candidates(entry: Any) -> list[tuple[str, str]]:
    return [mark(each) for each in listed(get(entry, "top_logprobs"))]
