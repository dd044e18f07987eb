"""How often rollouts with such a score are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.bootstrap import Resampling, ratio_interval
from ec_agent.evaluation.statistics.standing import Standing
from ec_agent.numbers.entropy import FloatArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The rollouts of all tasks whose scores lie near each other.

    Attributes:
        low: smallest score in it.
        high: largest score in it.
        score: their mean.
        rollouts: how many there are.
        success: their mean verdict.
        success_low: lower end of its interval; ``None`` where there is none (one task, or all verdicts equal).
        success_high: upper end.
    """

    low: float
    high: float
    score: float
    rollouts: int
    success: float
    success_low: float | None
    success_high: float | None


def calibration(
    results: Sequence[TaskResult], standings: Sequence[Standing], resampling: Resampling, bins: int = BINS
) -> tuple[Bin, ...]:
    """Verdict by score, over the ranked rollouts of all tasks together.

    The bins hold about equally many rollouts; equal scores stay in one bin, so there may be fewer bins than asked for.
    Intervals are percentile bootstrap intervals of a ratio; whole tasks are resampled. Unlike the AUROC this compares
    scores *across* tasks: a selector only ever has to tell the rollouts of one task apart.

    Args:
        results: the tasks.
        standings: what the selector made of each.
        resampling: how intervals are drawn.
        bins: how many bins at most.

    Returns:
        The bins by rising score; empty for a selector that gives no scores.
    """
    scored = [~np.isnan(one.scores) & one.ranked for one in standings]
    scores = np.concatenate([one.scores[which] for one, which in zip(standings, scored, strict=True)])
    right = np.concatenate([result.correct[which] for result, which in zip(results, scored, strict=True)])
    tasks = np.repeat(np.arange(len(results)), [int(which.sum()) for which in scored])
    if len(scores) == 0:
        return ()
    lasts = np.maximum(np.arange(1, bins) * len(scores) // bins - 1, 0)
    edges = np.unique(np.sort(scores)[lasts])
    place = np.searchsorted(edges, scores, side="left")
    found = []
    for number in np.unique(place):
        here = place == number
        low, high = _interval(right[here], tasks[here], resampling)
        found.append(
            Bin(
                low=float(scores[here].min()),
                high=float(scores[here].max()),
                score=float(scores[here].mean()),
                rollouts=int(here.sum()),
                success=float(right[here].mean()),
                success_low=low,
                success_high=high,
            )
        )
    return tuple(found)


def _interval(right: FloatArray, tasks: FloatArray, resampling: Resampling) -> tuple[float | None, float | None]:
    names, which = np.unique(tasks, return_inverse=True)
    if len(names) < 2 or np.ptp(right) == 0:
        return None, None
    sums, counts = (np.bincount(which, weights=each).astype(np.float64) for each in (right, None))
    return ratio_interval(sums, counts, resampling, method="percentile")
