"""Finds parts of a streamed answer that came twice, so that their tokens count once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ec_agent.capture.shapes.values import get, listed, mark


def alike(entries: Sequence[Any], others: Sequence[Any]) -> bool:
    """Tell whether two lists of entries have the same tokens with the same logprobs and candidates."""
    return len(entries) == len(others) and all(map(_same, entries, others))


def once(parts: Sequence[list[Any]], tokens: int | None) -> list[list[Any]]:
    """Return the entries of each part of one answer, without repeated parts; see ``once_in_all``."""
    return once_in_all([parts], tokens)[0]


def once_in_all(answers: Sequence[Sequence[list[Any]]], tokens: int | None) -> list[list[list[Any]]]:
    """Return the entries of each part of several answers, without parts that repeat the part before.

    A model can generate the same token twice. So an equal part is a repetition only if more tokens came than were
    counted. If several parts look like repetitions, and only some of them are, their entries are replaced by ``None``
    (a gap), because nobody knows which.

    Args:
        answers: for each answer, the entries of each of its parts, in order.
        tokens: number of generated tokens of all answers, or ``None`` if it was not reported.
    """
    kept = [list(parts) for parts in answers]
    extra = sum(len(part) for parts in kept for part in parts) - (tokens or 0)
    if not tokens or extra <= 0:
        return kept
    runs = [run for answer, parts in enumerate(kept) for run in _runs(answer, parts)]
    repeats = [place for run in runs for place in run]
    sizes = {(answer, number): len(kept[answer][number]) for answer, number in repeats}
    single = [place for place in repeats if _covers(sizes[place], extra)]
    if _covers(sum(sizes.values()), extra):
        gone = repeats
    else:  # within a run of equal parts, any one may be removed
        gone = [places[-1] for run in runs if (places := [place for place in run if place in single])]
    doubtful = gone != repeats and len(gone) > 1
    for answer, number in gone:
        kept[answer][number] = [None] * sizes[answer, number] if doubtful else []
    return kept


def _covers(tokens: int, extra: int) -> bool:
    """Tell whether removing these tokens leaves as many as were counted. The end token may have no entry."""
    return tokens - extra in (0, 1)


def _runs(answer: int, parts: Sequence[list[Any]]) -> list[list[tuple[int, int]]]:
    """Return the parts that equal the part before them, grouped into runs of equal parts."""
    told = [place for place, part in enumerate(parts) if part]
    runs: list[list[tuple[int, int]]] = []
    going = False
    for before, place in pairwise(told):
        same = alike(parts[before], parts[place])
        if same and not going:
            runs.append([])
        if same:
            runs[-1].append((answer, place))
        going = same
    return runs


def _same(entry: Any, other: Any) -> bool:
    return _identity(entry) == _identity(other)


def _identity(entry: Any) -> list[tuple[str, str]]:
    return [mark(entry), *map(mark, listed(get(entry, "top_logprobs")))]
