"""Token entries as nearly every answer has them, read in few steps; what may be odd is left to ``tokens``."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
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


def usual_tokens(entries: Sequence[Any], top_k: int | None = None) -> tuple[FloatArray, FloatArray] | None:
    """The candidates, shape ``(T, k)``, and the generated tokens' logprobs, shape ``(T,)``, as they usually come.

    Usual are equally many numbers for every token, two or more, each lower than the one before and in range: so no
    candidate can be listed twice, and none stands alone. ``None`` for all that needs a closer look.

    Args:
        entries: one per generated token, ``{"token", "logprob", "top_logprobs"}``.
        top_k: how many candidates were asked for; of more, the largest so many count.
    """
    if top_k == 1 or (top := _candidates(entries)) is None or (sampled := _sampled(entries)) is None:
        return None
    return top[:, : top_k or None], sampled


def _candidates(entries: Sequence[Any]) -> FloatArray | None:
    try:
        if isinstance(entries[0], dict):
            tops = [entry["top_logprobs"] for entry in entries]
            values = array("d", [candidate["logprob"] for top in tops for candidate in top])
        else:
            tops = [entry.top_logprobs for entry in entries]
            values = array("d", [candidate.logprob for top in tops for candidate in top])
        width = len(tops[0])
        if width < 2 or set(map(len, tops)) != {width} or set(map(type, tops)) != {list}:
            return None
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
        return None
    top = np.frombuffer(values).reshape(len(tops), width)
    first, second = top[:, 0], top[:, 1]
    in_range = first.max() <= ROUNDING and first.min() > _TINY and top[:, -1].min() > SENTINEL
    if not in_range or not ((first >= _SURE) | (first - second < _NEGLIGIBLE)).all():
        return None
    if not (top[:, 1:] < top[:, :-1]).all():
        return None
    # Of the truth values only False can have come so far, as a 0.
    zeros = np.argwhere(top[:, :2] == 0.0).tolist()
    return None if any(isinstance(_logprob(tops[row][column]), TRUTHS) for row, column in zeros) else top


def _sampled(entries: Sequence[Any]) -> FloatArray | None:
    try:
        values = [_logprob(entry) for entry in entries]
    except (AttributeError, KeyError):
        return None
    if set(map(type, values)) != {float}:
        return None
    sampled = np.array(values)
    sampled[~((sampled > SENTINEL) & (sampled <= ROUNDING))] = np.nan
    return sampled


def _logprob(thing: Any) -> Any:
    return thing["logprob"] if isinstance(thing, dict) else thing.logprob
