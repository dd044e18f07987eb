"""Token entries as nearly every answer has them, read in few steps; what may be odd is left to ``tokens``."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from ec_agent.entropy import FloatArray

CERTAIN = 0.999
SENTINEL = -9999.0
ROUNDING = 0.01
TRUTHS = (bool, np.bool_)
"""Not numbers, though they pass for 0 and 1."""
_SURE = -0.001  # a little above the logarithm of CERTAIN
_NEGLIGIBLE = 30.0  # so far below the first, a candidate still shows in a sum of probabilities
_TINY = -600.0  # and here it still has a probability
_PARTS = ("logprob", "top_logprobs")


def usual_tokens(entries: Sequence[Any], top_k: int | None = None) -> tuple[FloatArray, FloatArray] | None:
    """The candidates, shape ``(T, k)``, and the generated tokens' logprobs, shape ``(T,)``, as they usually come.

    Usual are equally many numbers for every token, two or more, each lower than the one before and in range: so no
    candidate can be listed twice, and none stands alone. ``None`` for all that needs a closer look.

    Args:
        entries: one per generated token, ``{"token", "logprob", "top_logprobs"}``.
        top_k: how many candidates were asked for; of more, the largest so many count.
    """
    if top_k == 1 or not entries:
        return None
    get = itemgetter if isinstance(entries[0], dict) else attrgetter
    logprob, parts = get(_PARTS[0]), get(*_PARTS)
    table = _table(entries, logprob, parts)
    if table is None or not _in_order(table):
        return None
    top, sampled = table[:, 1:], table[:, 0].copy()
    # Of the truth values only False can have come so far, as a 0.
    zeros = np.argwhere(top[:, :2] == 0.0).tolist()
    if any(isinstance(logprob(parts(entries[row])[1][column]), TRUTHS) for row, column in zeros):
        return None
    sampled[~((sampled > SENTINEL) & (sampled <= ROUNDING))] = np.nan
    return top[:, : top_k or None], sampled


def _table(
    entries: Sequence[Any], logprob: Callable[[Any], Any], parts: Callable[[Any], tuple[Any, ...]]
) -> FloatArray | None:
    """Shape ``(T, 1 + k)``: of each token its own logprob, then those of its candidates."""
    rows: list[bytes] = []
    try:
        width = 1 + len(parts(entries[0])[1])
        pack = struct.Struct(f"{width}d").pack
        for own, listed in map(parts, entries):
            if type(own) is not float or type(listed) is not list:
                return None
            # One token at a time: what is read once is still at hand when it is copied.
            rows.append(pack(own, *map(logprob, listed)))
    except (AttributeError, KeyError, TypeError, ValueError, struct.error):
        return None
    return np.frombuffer(b"".join(rows)).reshape(len(rows), width)


def _in_order(table: FloatArray) -> bool:
    """Whether the candidates of each token are two or more that fall and are in range."""
    if table.shape[1] < 3:
        return False
    first, second, last = table[:, 1], table[:, 2], table[:, -1]
    if not (first.max() <= ROUNDING and first.min() > _TINY and last.min() > SENTINEL):
        return False
    if not ((first >= _SURE) | (first - second < _NEGLIGIBLE)).all():
        return False
    # All numbers in one row, which NumPy compares at once; where a token begins there is nothing to compare.
    numbers = table.ravel()
    falls = np.ones(table.shape, np.bool_)
    np.less(numbers[1:], numbers[:-1], out=falls.ravel()[1:])
    falls[:, :2] = True
    return bool(falls.all())
