"""Reads usual token entries quickly. Entries that may be odd are left to ``tokens``."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from ec_agent.capture.shapes.logprob_rules import ROUNDING, SENTINEL, TRUTHS
from ec_agent.capture.shapes.placeholders import SURE, contradicted, doubted
from ec_agent.capture.shapes.repeated_candidates import repeats
from ec_agent.numbers.entropy import FloatArray

_NEGLIGIBLE = 30.0  # a second candidate less than this below the first one still changes the sum of probabilities
_AT_ONCE = 128  # tokens read at a time, so few that they are still in the processor's cache when they are copied
_TINY = -600.0  # a logprob above this has a probability above 0


def usual_tokens(entries: Sequence[Any], top_k: int | None = None) -> tuple[FloatArray, FloatArray] | None:
    """Read entries if they are usual: each has the same number of candidates, two or more, in descending order.

    Args:
        entries: one per generated token, ``{"token", "logprob", "top_logprobs"}``.
        top_k: how many candidates were asked for. If more came, only the likeliest count.

    Returns:
        The logprobs of the candidates, shape ``(T, k)``, and of the generated tokens, shape ``(T,)``. ``None`` if
        anything is odd; ``tokens_of`` then reads the entries with care.
    """
    if top_k == 1 or not entries:
        return None
    read, get = (_of_dictionaries, itemgetter) if isinstance(entries[0], dict) else (_of_objects, attrgetter)
    arrays = _arrays(entries, read)
    if arrays is None or not _in_order(arrays[0]):
        return None
    top, sampled = arrays
    logprob, candidates = get("logprob"), get("top_logprobs")
    # True and False were read as 1 and 0. Only 0 is in range, and only the first candidate may be 0.
    zeros = map(candidates, [entries[row] for row in np.flatnonzero(top[:, 0] == 0.0).tolist()])
    if not set(TRUTHS).isdisjoint([type(logprob(listed[0])) for listed in zeros]):
        return None
    sampled[~((sampled > SENTINEL) & (sampled <= ROUNDING))] = np.nan
    nameless = not isinstance(entries[0], dict) and not hasattr(candidates(entries[0])[0], "token")
    if (nameless and doubted(top, sampled)) or _repeated(top, entries, candidates, get("token")):
        return None
    placeholders = contradicted(top, sampled, entries)
    if placeholders.any():
        top, sampled = np.where(placeholders[:, np.newaxis], np.nan, top), np.where(placeholders, np.nan, sampled)
    return top[:, : top_k or None], sampled


_Read = tuple[list[Any], list[Any], list[Any]]
"""For some tokens: their logprobs, their lists of candidates, and the logprobs of all candidates in one list."""


def _of_dictionaries(entries: Sequence[Any]) -> _Read:
    tops = [entry["top_logprobs"] for entry in entries]
    own = [entry["logprob"] for entry in entries]
    return own, tops, [candidate["logprob"] for top in tops for candidate in top]


def _of_objects(entries: Sequence[Any]) -> _Read:
    tops = [entry.top_logprobs for entry in entries]
    own = [entry.logprob for entry in entries]
    return own, tops, [candidate.logprob for top in tops for candidate in top]


def _arrays(entries: Sequence[Any], read: Callable[[Sequence[Any]], _Read]) -> tuple[FloatArray, FloatArray] | None:
    """Read logprobs into arrays of shapes ``(T, k)`` and ``(T,)``. ``None`` if not all tokens have k candidates."""
    packed: list[bytes] = []
    sampled: list[float] = []
    widths: set[int] = set()
    try:
        for start in range(0, len(entries), _AT_ONCE):
            own, tops, numbers = read(entries[start : start + _AT_ONCE])
            widths.update(map(len, tops))
            if len(widths) > 1 or set(map(type, own)) != {float} or set(map(type, tops)) != {list}:
                return None
            packed.append(struct.pack(f"{len(numbers)}d", *numbers))
            sampled += own
    except (AttributeError, KeyError, TypeError, ValueError, struct.error):
        return None
    return np.frombuffer(b"".join(packed)).reshape(len(sampled), *widths), np.array(sampled)


def _in_order(top: FloatArray) -> bool:
    """Tell whether each token has two or more candidates, in descending order and in range."""
    if top.shape[1] < 2:
        return False
    first, second = top[:, 0], top[:, 1]
    most, least = np.maximum.reduce, np.minimum.reduce  # for few tokens, the methods of arrays take longer
    if not (most(first) <= ROUNDING and least(first) > _TINY and least(top[:, -1]) > SENTINEL and most(second) < 0.0):
        return False
    if not (most(first - second) < _NEGLIGIBLE or ((first >= SURE) | (first - second < _NEGLIGIBLE)).all()):
        return False
    # All numbers are compared with their left neighbour in one call. The first of each token has no left neighbour.
    numbers = top.ravel()
    falls = np.ones(top.shape, np.bool_)
    np.less_equal(numbers[1:], numbers[:-1], out=falls.ravel()[1:])
    falls[:, 0] = True
    return bool(falls.all())


def _repeated(
    top: FloatArray, entries: Sequence[Any], candidates: Callable[[Any], Any], name: Callable[[Any], Any]
) -> bool:
    """Tell whether a candidate is or may be listed twice. Only candidates with equal logprobs need to be checked."""
    equal = (top[:, 1:] == top[:, :-1]).any(axis=1)
    if not equal.any():
        return False
    for row in np.flatnonzero(equal).tolist():
        listed = candidates(entries[row])
        try:
            # The same token has the same name, and comparing names is quick, so ``repeats`` is rarely needed.
            if len(set(map(name, listed))) < len(listed) and repeats(listed, top[row].tolist()):
                return True
        except (AttributeError, KeyError, TypeError):
            return True
    return False
