"""Parts of a streamed answer that came twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ec_agent.capture.shapes.reading import get, listed


def alike(entries: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether these are the same tokens with the same logprobs and candidates."""
    return len(entries) == len(others) and all(map(_same, entries, others))


def once(parts: Sequence[list[Any]], tokens: int | None) -> list[list[Any]]:
    """The parts, less those that repeat the one before, where so many came too many.

    Args:
        parts: the entries of each part of one answer, in order.
        tokens: generated tokens, where reported. A token may well follow itself: only this tells a repeat from it.
    """
    came = sum(map(len, parts))
    if not tokens or came <= tokens:
        return list(parts)
    told = [part for part in parts if part]
    kept = told[:1]
    kept += [part for before, part in pairwise(told) if not alike(before, part)]
    return kept if sum(map(len, kept)) in (tokens, tokens - 1) else list(parts)


def _same(entry: Any, other: Any) -> bool:
    return _identity(entry) == _identity(other)


def _identity(entry: Any) -> tuple[str, ...]:
    # As text, for a NaN is not equal to itself.
    told = [str(get(entry, "token")), str(get(entry, "logprob"))]
    return (*told, *(f"{get(each, 'token')} {get(each, 'logprob')}" for each in listed(get(entry, "top_logprobs"))))
