"""Scores many timelines under many settings at once, and computes what they have in common only once. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.entropy import FloatArray, as_timeline
from ec_agent.numbers.percentiles import between
from ec_agent.numbers.phases import (
    HEPConfig,
    IntArray,
    Phases,
    centroid_of_phases,
    chained_spans,
    complete,
    entropy_centroid,
    low_runs,
)
from ec_agent.support.checks import repr_of, several

SWEEP = tuple(HEPConfig(top, bottom, low) for top, bottom, low in product((1, 3, 5), (30, 50, 80), (2, 3, 5)))
"""The 27 settings of the reference's sweep (docs/method.md section 5)."""

BATCH = 1 << 18
"""Number of tokens processed at a time. Each takes about 60 bytes of memory."""

LONGEST = 1 << 25
"""Timelines of up to this many tokens are scored in batches. The sums of longer ones could exceed 2**53, above which a
float does not hold every whole number exactly; they are scored one by one."""


def score_many(
    entropies: Sequence[ArrayLike | Sequence[float | None]] | ArrayLike,
    configs: Sequence[HEPConfig] = SWEEP,
    *,
    lengths: ArrayLike | None = None,
) -> FloatArray:
    """Compute the entropy centroids of many timelines under many settings.

    Each result equals that of ``ec_agent.entropy_centroid`` for the timeline and the setting. It costs a fraction of
    the time, because each timeline is sorted once for all settings and many timelines share each NumPy call.

    Args:
        entropies: a list of timelines, each of shape ``(T_i,)``, in nats, NaN or ``None`` where a token has no
            entropy. Or one array of all timelines, one after the other, of shape ``(sum T_i,)``, with ``lengths``.
        configs: the settings. If left out, the 27 of ``SWEEP``.
        lengths: shape ``(R,)``, tokens of each timeline, if ``entropies`` is one array of all timelines.

    Returns:
        Array of shape ``(R, len(configs))``, centroids in [0, 1). NaN where a timeline has no phase: it is unscored,
        which is not a score of 0.

    Raises:
        LogprobsError: a timeline is not one-dimensional, not numbers, or has an infinite value; or the sum of
            ``lengths`` is not the number of entropies.
        ConfigError: ``configs`` is empty, or holds something else than ``HEPConfig``.

    Source: arXiv 2604.26173; docs/method.md sections 2 and 3.
    """
    configs = several("configs", configs, HEPConfig, "one HEPConfig(...) or more")
    if not configs:
        raise ConfigError("configs is empty; give one HEPConfig(...) or more")
    given: Any = entropies
    if lengths is None:
        if not isinstance(given, Iterable) or isinstance(given, str | bytes | type):
            raise LogprobsError(
                f"entropies is {repr_of(given)}; give a list of timelines, or one array of them all with lengths="
            )
        timelines = [as_timeline(each) for each in given]
        counts = np.array([len(timeline) for timeline in timelines], np.int64)
    else:
        flat = as_timeline(given)
        counts = checked_lengths(lengths, len(flat))
        timelines = np.split(flat, np.cumsum(counts)[:-1]) if len(counts) else []
    scores = np.full((len(counts), len(configs)), np.nan)
    for start, stop in batches(counts):
        flat = timelines[start] if stop == start + 1 else np.concatenate(timelines[start:stop])
        if len(flat) > LONGEST:
            scores[start] = [entropy_centroid(flat, config) for config in configs]
        else:
            scores[start:stop] = _Batch(flat, counts[start:stop], configs).centroids(configs)
    return scores


def checked_lengths(lengths: ArrayLike, tokens: int) -> IntArray:
    """Check the lengths of timelines that one array holds one after the other; return them as integers.

    Raises:
        LogprobsError: a length is not a whole number of at least 0, or the sum is not ``tokens``.
    """
    try:
        counts = np.asarray(lengths)
    except Exception as error:
        raise LogprobsError(
            f"lengths cannot be read ({error}); give the tokens of each timeline, shape (R,)"
        ) from error
    if counts.ndim != 1 or (len(counts) and counts.dtype.kind not in "iu") or (counts < 0).any():
        raise LogprobsError("lengths are not whole numbers of at least 0; give the tokens of each timeline, shape (R,)")
    if int(counts.sum()) != tokens:
        raise LogprobsError(
            f"lengths add up to {int(counts.sum())} tokens, but there are {tokens} entropies; give the number of "
            "tokens of each timeline"
        )
    return counts.astype(np.int64)


def batches(counts: IntArray) -> Iterator[tuple[int, int]]:
    """Divide timelines into batches of up to ``BATCH`` tokens; yield the first index and the end of each batch.

    A timeline longer than ``BATCH`` is a batch alone.
    """
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(ends.searchsorted(before + BATCH, side="right")), start + 1)
        yield start, stop
        start = stop


class _Lows(NamedTuple):
    """The low tokens of a batch under one ``bottom_percent``. A *run* is a row of neighbouring low tokens.

    Attributes:
        theta: shape ``(R,)``, the threshold of each timeline: tokens up to it are low.
        mask: shape ``(N,)``, whether each token is low.
        starts: index of the first token of each run. No run reaches from one timeline into the next.
        lengths: tokens of each run.
        following: for each candidate, how many runs begin before it.
    """

    theta: FloatArray
    mask: NDArray[np.bool_]
    starts: IntArray
    lengths: IntArray
    following: IntArray


class _Batch:
    """R timelines that are scored together. N tokens of them have an entropy; the others are left out.

    Attributes:
        counts: shape ``(R,)``, all tokens of each timeline.
        known: shape ``(N,)``, the entropies.
        positions: shape ``(N,)``, the index of each of the N tokens in its own timeline. ``None`` if no token was left
            out.
        sizes: shape ``(R,)``, how many of the N tokens each timeline has.
        ends: shape ``(R,)``, where each timeline ends among the N tokens (exclusive).
        thetas: the thresholds by percentile, each of shape ``(R,)``.
        candidates: indices of the tokens that are high under at least one of the settings.
        owners: for each candidate, the index of its timeline.
    """

    def __init__(self, flat: FloatArray, counts: IntArray, configs: Sequence[HEPConfig]) -> None:
        self.counts = counts
        here = None if complete(flat) else ~np.isnan(flat)
        self.known, self.positions, self.sizes = flat, None, counts
        if here is not None:
            bounds = np.concatenate(([0], np.cumsum(counts)))
            places = here.nonzero()[0]
            self.known = flat[places]
            self.sizes = np.diff(places.searchsorted(bounds))
            self.positions = places - np.repeat(bounds[:-1], self.sizes)
        self.ends = np.cumsum(self.sizes)
        tops = {100 - config.top_percent for config in configs}
        self.thetas = self._percentiles(sorted(tops | {config.bottom_percent for config in configs}))
        lowest = np.minimum.reduce([self.thetas[percent] for percent in tops])
        self.candidates = (self.known >= np.repeat(lowest, self.sizes)).nonzero()[0]
        self.owners = self.ends.searchsorted(self.candidates, side="right")

    def centroids(self, configs: Sequence[HEPConfig]) -> FloatArray:
        """Return the centroids, shape ``(R, len(configs))``, NaN where a timeline has no phase."""
        scores = np.empty((len(self.counts), len(configs)))
        values = self.known[self.candidates]
        highs = {
            top: (values >= self.thetas[100 - top][self.owners]).nonzero()[0]
            for top in {config.top_percent for config in configs}
        }
        columns = sorted(range(len(configs)), key=lambda column: configs[column].bottom_percent)
        for bottom, group in groupby(columns, key=lambda column: configs[column].bottom_percent):
            lows = self._lows(bottom)  # one setting at a time: these arrays are as large as all others together
            closings: dict[int, tuple[IntArray, IntArray]] = {}
            for column in group:
                config = configs[column]
                if config.consecutive_low not in closings:
                    closings[config.consecutive_low] = self._closings(lows, config.consecutive_low)
                scores[:, column] = self._separate(highs[config.top_percent], *closings[config.consecutive_low])
                theta = self.thetas[100 - config.top_percent]
                for row in ((lows.theta >= theta) & (self.sizes > 0)).nonzero()[0].tolist():
                    scores[row, column] = self._chained(row, lows, theta[row], config.consecutive_low)
        return scores

    def _percentiles(self, percents: Sequence[float]) -> dict[float, FloatArray]:
        """Compute percentiles of each timeline as ``numpy.percentile`` does, with one partition for all of them."""
        last = np.maximum(self.sizes - 1, 0)
        exact = np.multiply.outer(np.array(percents) / 100, last)
        ranks = np.minimum(exact.astype(np.int64), last)
        nexts = np.minimum(ranks + 1, last)
        weights = np.where(ranks >= last, 0.0, exact - ranks)
        ranked = self.known.copy()
        wanted = np.concatenate([ranks, nexts]).T.tolist()
        starts = self.ends - self.sizes
        for start, stop, kth in zip(starts.tolist(), self.ends.tolist(), wanted, strict=True):
            if start < stop:
                ranked[start:stop].partition(kth)
        if len(ranked) == 0:
            ranked = np.full(1, np.nan)
        # An empty timeline at the end would start beyond the array. Its threshold is never used.
        starts = np.minimum(starts, len(ranked) - 1)
        thetas = between(ranked[starts + ranks], ranked[starts + nexts], weights)
        return dict(zip(percents, thetas, strict=True))

    def _lows(self, bottom: float) -> _Lows:
        theta = self.thetas[bottom]
        mask = self.known <= np.repeat(theta, self.sizes)
        occupied = self.sizes > 0
        first, last = (self.ends - self.sizes)[occupied], self.ends[occupied] - 1
        begins, stops = mask.copy(), mask.copy()
        np.greater(mask[1:], mask[:-1], out=begins[1:])
        np.greater(mask[:-1], mask[1:], out=stops[:-1])
        begins[first], stops[last] = mask[first], mask[last]
        starts = begins.nonzero()[0]
        lengths = stops.nonzero()[0] - starts + 1
        return _Lows(theta, mask, starts, lengths, starts.searchsorted(self.candidates))

    def _closings(self, lows: _Lows, k: int) -> tuple[IntArray, IntArray]:
        """Find the phase that each candidate would belong to if it is high.

        Returns:
            Two arrays with one entry per candidate: where its phase ends (exclusive), and a number of the phase. Phases
            that come later have higher numbers.
        """
        long = lows.lengths >= min(k, len(self.known) + 1)
        following = np.concatenate(([0], np.cumsum(long)))[lows.following]
        closers = np.append(lows.starts[long], len(self.known))
        return np.minimum(closers[following], self.ends[self.owners]), following + self.owners

    def _separate(self, chosen: IntArray, closings: IntArray, numbers: IntArray) -> FloatArray:
        """Centroids, shape ``(R,)``, if no token is both high and low; see ``phases.separate_spans``."""
        number = numbers[chosen]
        opens = np.empty(len(chosen), np.bool_)
        opens[:1] = True
        np.not_equal(number[1:], number[:-1], out=opens[1:])
        opening = chosen[opens]
        first, owners = self.candidates[opening], self.owners[opening]
        masses = closings[opening] - first
        starts = first - (self.ends - self.sizes)[owners] if self.positions is None else self.positions[first]
        # All terms and sums are whole numbers below 2**53, which a float holds exactly (see LONGEST).
        mass = np.bincount(owners, masses, len(self.counts))
        twice_moment = np.bincount(owners, masses * (2 * starts + masses), len(self.counts))
        with np.errstate(invalid="ignore", divide="ignore"):
            centroids: FloatArray = twice_moment / 2 / mass / self.counts
        centroids[mass == 0] = np.nan
        return centroids

    def _chained(self, row: int, lows: _Lows, theta_high: float, k: int) -> float:
        start, stop = int(self.ends[row] - self.sizes[row]), int(self.ends[row])
        k = min(k, stop - start + 1)
        highs = (self.known[start:stop] >= theta_high).nonzero()[0]
        first, ends = chained_spans(highs, low_runs(lows.mask[start:stop], k), k, stop - start)
        starts = first if self.positions is None else self.positions[start + first]
        centroid = centroid_of_phases(Phases(starts, ends - first), int(self.counts[row]))
        return np.nan if centroid is None else centroid
