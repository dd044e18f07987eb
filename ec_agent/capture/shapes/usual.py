"""Token entries as nearly every answer has them, read in few steps; what may be odd is left to ``tokens``."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from ec_agent.capture.shapes.candidates import repeats
from ec_agent.capture.shapes.placeholders import SURE, contradicted, doubted
from ec_agent.numbers.entropy import FloatArray

CERTAIN = 0.999
SENTINEL = -745.0
"""Here a probability is no longer a number above 0: what is as low or lower (-1000, -9999, -3.4e38) says "masked"."""
ROUNDING = 0.01
TRUTHS = (bool, np.bool_)
"""Not numbers, though they pass for 0 and 1."""
_NEGLIGIBLE = 30.0  # so far below the first, a candidate still shows in a sum of probabilities
_AT_ONCE = 128  # tokens: what is read once is still at hand when it is copied
_TINY = -600.0  # and here it still has a probability


def usual_tokens(entries: Sequence[Any], top_k: int | None = None) -> tuple[FloatArray, FloatArray] | None:
    """The candidates, shape ``(T, k)``, and the generated tokens' logprobs, shape ``(T,)``, as they usually come.

    Usual are equally many numbers for every token, two or more, in descending order and in range, and no candidate
    listed twice: so none stands alone. ``None`` for all that needs a closer look.

    Args:
        entries: one per generated token, ``{"token", "logprob", "top_logprobs"}``.
        top_k: how many candidates were asked for; of more, the largest so many count.
    """
    if top_k == 1 or not entries:
        return None
    read, get = (_of_dictionaries, itemgetter) if isinstance(entries[0], dict) else (_of_objects, attrgetter)
    arrays = _arrays(entries, read)
    if arrays is None or not _in_order(arrays[0]):
        return None
    top, sampled = arrays
    logprob, candidates = get("logprob"), get("top_logprobs")
    # Of the truth values only False can have come so far, as a 0, which none but the first can be.
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
"""Of some tokens: their own logprobs, their candidates, and the logprobs of these in one row."""


def _of_dictionaries(entries: Sequence[Any]) -> _Read:
    tops = [entry["top_logprobs"] for entry in entries]
    own = [entry["logprob"] for entry in entries]
    return own, tops, [candidate["logprob"] for top in tops for candidate in top]


def _of_objects(entries: Sequence[Any]) -> _Read:
    tops = [entry.top_logprobs for entry in entries]
    own = [entry.logprob for entry in entries]
    return own, tops, [candidate.logprob for top in tops for candidate in top]


def _arrays(entries: Sequence[Any], read: Callable[[Sequence[Any]], _Read]) -> tuple[FloatArray, FloatArray] | None:
    """Shapes ``(T, k)`` and ``(T,)``, where all tokens have lists of k numbers and a number of their own."""
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
    """Whether the candidates of each token are two or more that never rise and are in range."""
    if top.shape[1] < 2:
        return False
    first, second = top[:, 0], top[:, 1]
    if not (first.max() <= ROUNDING and first.min() > _TINY and top[:, -1].min() > SENTINEL and second.max() < 0.0):
        return False
    if not ((first >= SURE) | (first - second < _NEGLIGIBLE)).all():
        return False
    # All numbers in one row, which NumPy compares at once; where a token begins there is nothing to compare.
    numbers = top.ravel()
    falls = np.ones(top.shape, np.bool_)
    np.less_equal(numbers[1:], numbers[:-1], out=falls.ravel()[1:])
    falls[:, 0] = True
    return bool(falls.all())


def _repeated(
    top: FloatArray, entries: Sequence[Any], candidates: Callable[[Any], Any], name: Callable[[Any], Any]
) -> bool:
    """Whether a candidate is listed twice, or may be: only equal logprobs are looked at, which come in any answer."""
    equal = (top[:, 1:] == top[:, :-1]).any(axis=1)
    if not equal.any():
        return False
    for row in np.flatnonzero(equal).tolist():
        listed = candidates(entries[row])
        try:
            # What is the same token has one name; that the names differ shows sooner than all else.
            if len(set(map(name, listed))) < len(listed) and repeats(listed, top[row].tolist()):
                return True
        except (AttributeError, KeyError, TypeError):
            return True
    return False
