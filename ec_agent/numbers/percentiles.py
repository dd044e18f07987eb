"""``numpy.percentile`` by linear interpolation, bit for bit, at less cost. NumPy only.

One partition (or one sort, of a whole sweep) serves every percentile that is asked of the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ec_agent.numbers.entropy import FloatArray

LONG = 6_000
"""From so many values on, a sample shows where to look: a partition of them all costs more."""
_SAMPLE = 1_024
_MANY = 500
"""From so many on, a small sample shows what may be left out."""
_FEW = 128
_DEVIATIONS = 3.5


class Place(NamedTuple):
    """Where a percentile lies among sorted values: ``weight`` of the way from the value of ``rank`` to the next."""

    rank: int
    weight: float


def place(percent: float, count: int) -> Place:
    """Where NumPy puts this percentile of ``count`` values, ``count >= 1``."""
    exact = (count - 1) * (percent / 100)
    index = int(exact)
    # The last value has no next one.
    return Place(count - 1, 0.0) if index >= count - 1 else Place(index, exact - index)


def between(lower: FloatArray, upper: FloatArray, weight: FloatArray) -> FloatArray:
    """The values ``weight`` of the way from one to the next, in NumPy's own order of operations."""
    step = upper - lower
    return np.where(weight >= 0.5, upper - step * (1.0 - weight), lower + step * weight)


def _between(lower: float, upper: float, weight: float) -> float:
    # The same for one value, where a NumPy call would cost more than the sum.
    step = upper - lower
    return upper - step * (1.0 - weight) if weight >= 0.5 else lower + step * weight


def percentiles(values: FloatArray, percents: Sequence[float]) -> list[float]:
    """Equal to ``numpy.percentile(values, percents)``.

    Args:
        values: shape ``(n,)``, ``n >= 1``, finite; left as they are.
        percents: from 0 to 100.
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
    """A copy of the values from a little below ``rank`` on, and how many are left out.

    A partition branches on every value it looks at, and half of these branches are foreseen wrongly; a comparison with
    one value of a sample does without, and spares most of them.
    """
    count = len(values)
    if count >= _MANY:
        sample = np.sort(values[:: count // _FEW])
        share = rank / count
        first = int(len(sample) * share - _DEVIATIONS * (len(sample) * share * (1 - share)) ** 0.5) - 1
        if first > 0:
            kept = values[(values >= sample[first]).nonzero()[0]]
            if rank >= count - len(kept):  # else the sample has misled
                return kept, count - len(kept)
    return values.copy(), 0


def _pair(values: FloatArray, sample: FloatArray, index: int) -> tuple[float, float]:
    """The values of ranks ``index`` and ``index + 1``, looked for where a sorted sample expects them."""
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
    # The sample may mislead, as one of a periodic timeline does; the count tells.
    if not below <= index or following >= below + len(found):
        found, below = values.copy(), 0
    found.partition((index - below, following - below))
    return float(found[index - below]), float(found[following - below])
