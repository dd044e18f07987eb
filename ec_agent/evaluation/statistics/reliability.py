"""How good probabilities are, on tasks that they were not fitted on. Intervals are over whole tasks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.evaluation.statistics.bootstrap import (
    BATCH_NUMBERS,
    ROUNDING,
    Estimate,
    Resampling,
    differences,
    estimate,
    ratio,
    resampling_of,
    stats,
)
from ec_agent.numbers.entropy import FloatArray

BINS = 10
"""Of equal width, for the reliability and the expected calibration error."""

SHARES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0)
"""Of the questions answered, for the abstention curve."""

_CHANCES = 2000


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The choices whose probabilities lie near each other.

    Attributes:
        probability: their mean probability.
        right: their mean verdict, with its interval.
        share: their share of all choices.
    """

    probability: float
    right: Estimate
    share: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What is left where the least sure choices are handed over.

    Attributes:
        share: share of the questions that are answered.
        least: the smallest probability among them: the threshold.
        accuracy: mean verdict of the answers.
    """

    share: float
    least: float
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Reliability:
    """Probabilities beside what came true. A constant is the mean verdict of the other tasks, whatever the choice.

    Attributes:
        tasks: how many tasks it rests on.
        right: mean verdict of the winners.
        brier: mean squared difference of probability and verdict; 0 is best.
        brier_constant: that of the constant.
        brier_minus_constant: the difference, paired by task; below 0 the probability knows more than the base rate.
        ece: expected calibration error: mean distance of probability and share that is right, over ``BINS`` bins. Its
            interval leans high: resampling adds noise, as in simulations, where it held 84 to 95 times in a hundred.
        ece_constant: that of the constant, which is one bin.
        ece_by_chance: the expected calibration error that these probabilities would have on average if they were
            exactly right: no sample of this size shows 0.
        bins: by rising probability; empty bins are left out.
        answered: the abstention curve, by rising share.
    """

    tasks: int
    right: Estimate
    brier: Estimate
    brier_constant: Estimate
    brier_minus_constant: Estimate
    ece: Estimate
    ece_constant: Estimate
    ece_by_chance: float
    bins: tuple[ReliabilityBin, ...]
    answered: tuple[Answered, ...]

    def at(self, share: float) -> Answered:
        """Return the point of the abstention curve at which the least, but at least this share, is answered."""
        return next((each for each in self.answered if each.share >= share - ROUNDING), self.answered[-1])


def reliability(
    probabilities: FloatArray, constants: FloatArray, right: FloatArray, resampling: Resampling | None = None
) -> Reliability:
    """Compare probabilities with verdicts.

    Args:
        probabilities: shape ``(R, T)``: of each of R drawings of folds, the probability of each of T tasks' choices
            by what was fitted without the task.
        constants: shape ``(R, T)``: the mean verdict of the tasks that it was fitted on.
        right: shape ``(T,)``: the verdict on each choice, in [0, 1].
        resampling: how intervals are drawn.

    Raises:
        ConfigError: there is no task, or the shapes do not go together.
    """
    resampling = resampling_of(resampling)
    given = [np.asarray(each, dtype=np.float64) for each in (probabilities, constants, right)]
    p, c, y = given
    if p.ndim != 2 or p.shape != c.shape or y.shape != p.shape[1:] or not p.size:
        raise ConfigError(f"shapes are {[each.shape for each in given]}; give (R, T), (R, T) and (T,), none of them 0")
    squares, constant = ((p - y) ** 2).mean(axis=0), ((c - y) ** 2).mean(axis=0)
    inside = _inside(p)
    heights, sums = inside.mean(axis=0), (inside * p[..., np.newaxis]).mean(axis=0)  # shape (T, BINS)
    residuals = heights * y[:, np.newaxis] - sums
    return Reliability(
        tasks=len(y),
        right=estimate(y, resampling),
        brier=estimate(squares, resampling),
        brier_constant=estimate(constant, resampling),
        brier_minus_constant=estimate(differences(squares, constant), resampling),
        ece=_error(residuals, resampling),
        ece_constant=_error((y - c.mean(axis=0))[:, np.newaxis], resampling),
        ece_by_chance=_by_chance(p.mean(axis=0), heights, sums, resampling.seed),
        bins=tuple(_bins(heights, sums, y, resampling)),
        answered=tuple(_answered(p, y, resampling)),
    )


def _inside(p: FloatArray) -> FloatArray:
    """1 where a probability lies in a bin, shape ``(R, T, BINS)``."""
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    return np.asarray(place[..., np.newaxis] == np.arange(BINS), dtype=np.float64)


def _error(residuals: FloatArray, resampling: Resampling) -> Estimate:
    """The absolute sums of residuals, shape ``(T, bins)``, over tasks; added up over bins, by the number of tasks."""
    tasks = len(residuals)
    value = float(np.abs(residuals.sum(axis=0)).sum() / tasks)
    value = 0.0 if value < ROUNDING else value
    if tasks < 2 or np.ptp(residuals, axis=0).max() <= ROUNDING:
        return Estimate(value, None, None, tasks)

    def error(drawn: Any, axis: int) -> Any:
        return np.abs(residuals[drawn].sum(axis=-2)).sum(axis=-1) / tasks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interval = (
            stats()
            .bootstrap(
                (np.arange(tasks),),
                error,
                vectorized=True,
                method="percentile",
                n_resamples=resampling.resamples,
                confidence_level=resampling.confidence,
                batch=max(1, BATCH_NUMBERS // residuals.size),
                rng=np.random.default_rng(resampling.seed),
            )
            .confidence_interval
        )
    # No resample is as well calibrated as the tasks themselves where their error is 0.
    return Estimate(value, min(value, float(interval.low)), max(value, float(interval.high)), tasks)


def _by_chance(p: FloatArray, heights: FloatArray, sums: FloatArray, seed: int) -> float:
    """The mean error of verdicts that are drawn with these very probabilities."""
    drawn = np.random.default_rng(seed).random((_CHANCES, len(p))) < p
    return float((np.abs(drawn @ heights - sums.sum(axis=0)).sum(axis=1) / len(p)).mean())


def _bins(heights: FloatArray, sums: FloatArray, y: FloatArray, resampling: Resampling) -> Iterator[ReliabilityBin]:
    for place in range(BINS):
        inside = heights[:, place]
        there = inside > 0
        if there.any():
            yield ReliabilityBin(
                probability=float(sums[:, place].sum() / inside.sum()),
                right=ratio((inside * y)[there], inside[there], resampling),
                share=float(inside.mean()),
            )


def _answered(p: FloatArray, y: FloatArray, resampling: Resampling) -> Iterator[Answered]:
    before, falling = 0.0, np.sort(p, axis=None)[::-1]
    for share in SHARES:
        least = float(falling[math.ceil(share * p.size - ROUNDING) - 1])
        answers = (p >= least).mean(axis=0)
        there = answers > 0
        if answers.mean() > before + ROUNDING:  # equal probabilities are answered together, or not at all
            before = float(answers.mean())
            yield Answered(before, least, ratio((answers * y)[there], answers[there], resampling))
