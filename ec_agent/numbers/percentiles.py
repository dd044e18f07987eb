"""Computes what ``numpy.percentile`` computes, bit for bit, in less time. NumPy only.

``numpy.percentile`` partitions the values once per call and looks at all of them. Here the values are partitioned
once for all percentiles, and a sample first rules out most values. With ``numpy.percentile``, finding the phases of a
timeline would take 1.8 times as long at 1,000 tokens and 2.3 times as long at 30,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ec_agent.numbers.entropy import FloatArray

LONG = 6_000
"""From this many values on, a sorted sample shows where each percentile lies. A partition of all values would cost
more."""
_SAMPLE = 1_024  # size of that sample
_MANY = 500
"""From this many values on, a small sample shows which values are too low to matter."""
_FEW = 128  # size of the small sample
_DEVIATIONS = 3.5  # margin around the place that a sample tells, in standard deviations of it


class Place(NamedTuple):
    """Where a percentile lies among sorted values.

    Attributes:
        rank: index of the sorted value at or just below the percentile.
        weight: how far the percentile lies on the way from that value to the next one, in [0, 1).
    """

    rank: int
    weight: float


def place(percent: float, count: int) -> Place:
    """Return where NumPy puts the ``percent`` percentile of ``count`` values, ``count >= 1``."""
    exact = (count - 1) * (percent / 100)
    index = int(exact)
    # There is no value after the last one to interpolate with.
    return Place(count - 1, 0.0) if index >= count - 1 else Place(index, exact - index)


def between(lower: FloatArray, upper: FloatArray, weight: FloatArray) -> FloatArray:
    """Interpolate between two values, in NumPy's own order of operations, which decides the last bit of the result.

    Args:
        lower: the values at weight 0.
        upper: the values at weight 1.
        weight: how far the result is on the way from ``lower`` to ``upper``, in [0, 1].
    """
    step = upper - lower
    return np.where(weight >= 0.5, upper - step * (1.0 - weight), lower + step * weight)


def _between(lower: float, upper: float, weight: float) -> float:
    # The same as ``between`` for one value: calling NumPy would cost more than the arithmetic.
    step = upper - lower
    return upper - step * (1.0 - weight) if weight >= 0.5 else lower + step * weight


def percentiles(values: FloatArray, percents: Sequence[float]) -> list[float]:
    """Return what ``numpy.percentile(values, percents)`` returns, as a list.

    Args:
        values: shape ``(n,)``, ``n >= 1``, finite. They are not changed.
        percents: which percentiles, each from 0 to 100.
    """
    count = len(values)
    places = [place(percent, count) for percent in percents]
    if count < LONG:
        ranked, below = _upper(values, min(places).rank)
        ranks = [(spot.rank - below, min(spot.rank + 1, count - 1) - below) for spot in places]
        ranked.partition([rank for pair in ranks for rank in pair])
        pairs = [(ranked[rank], ranked[following]) for rank, following in ranks]
    else:
        sample = np.sort(values[:: count // _SAMPLE])
        pairs = [_pair(values, sample, spot.rank) for spot in places]
    return [
        _between(float(lower), float(upper), spot.weight) for (lower, upper), spot in zip(pairs, places, strict=True)
    ]


def _upper(values: FloatArray, rank: int) -> tuple[FloatArray, int]:
    """Return a copy of the values without most of those below ``rank``, and how many were left out.

    A partition takes a branch for every value, and the processor predicts half of these branches wrongly. Comparing
    all values with one limit has no branches, and leaves few values for the partition. The limit is taken from a
    sample of the values.
    """
    count = len(values)
    if count >= _MANY:
        sample = np.sort(values[:: count // _FEW])
        share = rank / count
        first = int(len(sample) * share - _DEVIATIONS * (len(sample) * share * (1 - share)) ** 0.5) - 1
        if first > 0:
            kept = values[(values >= sample[first]).nonzero()[0]]
            if rank >= count - len(kept):  # otherwise the limit was too high, and rank itself was left out
                return kept, count - len(kept)
    return values.copy(), 0


def _pair(values: FloatArray, sample: FloatArray, index: int) -> tuple[float, float]:
    """Return the values of ranks ``index`` and ``index + 1``. A sorted sample tells where to look for them."""
    count, size = len(values), len(sample)
    following = min(index + 1, count - 1)
    share = index / count
    margin = int(_DEVIATIONS * (size * share * (1 - share)) ** 0.5) + 2
    first, last = int(share * size) - margin, int(share * size) + margin
    near = np.ones(count, np.bool_)
    below = 0
    if first > 0:
        near = values >= sample[first]
        below = count - int(np.count_nonzero(near))
    if last < size - 1:
        near &= values <= sample[last]
    found = values[near.nonzero()[0]]
    # A sample can be wrong: one of a periodic timeline may hold the same value every time. Counting shows whether both
    # ranks are among the values found; if they are not, all values are searched.
    if not below <= index or following >= below + len(found):
        found, below = values.copy(), 0
    found.partition((index - below, following - below))
    return float(found[index - below]), float(found[following - below])
