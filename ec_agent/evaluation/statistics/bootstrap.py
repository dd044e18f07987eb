"""Intervals and p-values over tasks. The resampling is SciPy's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ec_agent.numbers.entropy import FloatArray
from ec_agent.support.checks import checked, instance, number, whole
from ec_agent.support.lazy import needed

BATCH_NUMBERS = 4_000_000
"""How many resampled numbers are held at once: 32 MB."""

MOST_RESAMPLES = 10_000_000
"""More than these would take hours, and say nothing new."""

ROUNDING = 1e-12
"""Means of equal verdicts, or of the same in another order, differ by less. Taken for differences they would be
significant ones, for rounding has a direction."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals and p-values are drawn; reported with them.

    Attributes:
        resamples: how many resamples each.
        seed: the seed. The same seed gives the same numbers, and selectors are compared on the same resamples.
        confidence: level of the intervals.

    Raises:
        ConfigError: fewer than 100 resamples, a negative seed, or a confidence outside (0, 1).
    """

    resamples: int = 9999
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        rather = "at least 100 resamples, a seed of at least 0, a confidence like 0.95"
        checked(self, "resamples", whole, 100, MOST_RESAMPLES, rather=rather)
        checked(self, "seed", whole, 0, rather=rather)
        checked(self, "confidence", number, rather, above=0, most=1 - 1e-9)


def resampling_of(given: Resampling | None) -> Resampling:
    """What was given, or the usual one.

    Raises:
        ConfigError: it is something else.
    """
    return Resampling() if given is None else instance("resampling", given, Resampling, "Resampling(...), or None")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks with its interval.

    Attributes:
        value: the mean; ``None`` where no task could be used.
        low: lower end; ``None`` where there is no interval: fewer than two tasks, or all of them equal. That none
            differed is no proof that none ever will, so it is not an interval of width 0.
        high: upper end.
        tasks: how many tasks it rests on.
    """

    value: float | None
    low: float | None
    high: float | None
    tasks: int

    def excludes(self, value: float) -> int:
        """+1 where the whole interval lies above ``value``, -1 where below, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > value) - int(self.high < value)


def stats() -> ModuleType:
    """``scipy.stats``.

    Raises:
        ConfigError: SciPy is not installed.
    """
    module: ModuleType = needed("scipy.stats", "the statistics need", "ec-agent[eval]")
    return module


def estimates(values: FloatArray, resampling: Resampling) -> list[Estimate]:
    """Means over tasks with bias-corrected accelerated (BCa) bootstrap intervals; whole tasks are resampled.

    A task's rollouts stay together, so that their dependence does not narrow the interval. Where each number is a
    difference of two selectors on one task, the interval is a paired one. All rows see the same resamples.

    Args:
        values: shape ``(R, T)``: R quantities of T tasks.
        resampling: how often and from what seed.

    Returns:
        R estimates.
    """
    tasks = values.shape[1]
    means = values.mean(axis=1) if tasks else np.full(len(values), np.nan)
    lows, highs = np.full((2, len(values)), np.nan)
    vary = np.ptp(values, axis=1) > ROUNDING if tasks > 1 else np.zeros(len(values), np.bool_)
    if vary.any():
        with warnings.catch_warnings():
            # A row whose resamples say too little has no interval, which is what the NaN then says.
            warnings.simplefilter("ignore")
            interval = (
                stats()
                .bootstrap(
                    (values[vary],),
                    np.mean,
                    axis=-1,
                    vectorized=True,
                    n_resamples=resampling.resamples,
                    confidence_level=resampling.confidence,
                    batch=max(1, BATCH_NUMBERS // max(1, values[vary].size)),
                    rng=np.random.default_rng(resampling.seed),
                )
                .confidence_interval
            )
        lows[vary], highs[vary] = interval.low, interval.high
    return [
        Estimate(_known(mean), _known(low), _known(high), tasks)
        for mean, low, high in zip(means, lows, highs, strict=True)
    ]


def estimate(values: Sequence[float | None] | FloatArray, resampling: Resampling) -> Estimate:
    """The mean of one quantity over the tasks that have it, with its interval.

    Args:
        values: one a task; ``None`` or NaN where a task has none.
        resampling: how often and from what seed.
    """
    row = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return estimates(row[~np.isnan(row)][np.newaxis, :], resampling)[0]


def ratio(over: FloatArray, under: FloatArray, resampling: Resampling) -> Estimate:
    """A sum over tasks divided by another one over the same tasks, with its interval; whole tasks are resampled.

    Args:
        over: shape ``(T,)``, of each task what stands above the line: its tokens with a plan, say.
        under: shape ``(T,)``, what stands below it: its tokens without; not negative.
        resampling: how often and from what seed.

    Returns:
        The ratio; without a value where nothing stands below the line, without an interval where all tasks have the
        same one.
    """
    tasks, total = len(over), float(under.sum())
    if total <= 0:
        return Estimate(None, None, None, tasks)
    value = float(over.sum() / total)
    if tasks < 2 or np.abs(over - value * under).max() <= ROUNDING * max(1.0, np.abs(under).max()):
        return Estimate(value, None, None, tasks)
    return Estimate(value, *ratio_interval(over, under, resampling), tasks)


def ratio_interval(
    over: FloatArray, under: FloatArray, resampling: Resampling, method: str = "BCa"
) -> tuple[float | None, float | None]:
    """Return the ends of the bootstrap interval of ``over.sum() / under.sum()``; whole tasks are resampled.

    Args:
        over: shape ``(T,)``, numerators, one for each of at least two tasks.
        under: shape ``(T,)``, denominators of the same tasks.
        resampling: how often and from what seed.
        method: SciPy's name of the kind of interval.

    Returns:
        Lower and upper end; ``None`` for each if the resamples say too little.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interval = (
            stats()
            .bootstrap(
                (over, under),
                lambda above, below, axis: above.sum(axis=axis) / below.sum(axis=axis),
                paired=True,
                vectorized=True,
                method=method,
                n_resamples=resampling.resamples,
                confidence_level=resampling.confidence,
                batch=max(1, BATCH_NUMBERS // (2 * len(over))),
                rng=np.random.default_rng(resampling.seed),
            )
            .confidence_interval
        )
    return _known(interval.low), _known(interval.high)


def differences(ours: FloatArray, theirs: FloatArray | float) -> FloatArray:
    """``ours - theirs``, 0 where that is nothing but ``ROUNDING``; shape of ``ours``."""
    found = ours - theirs
    return np.where(np.abs(found) < ROUNDING, 0.0, found)


def paired_p(ours: FloatArray, theirs: FloatArray, resampling: Resampling) -> float:
    """Two-sided p-value of equal means: the tasks' differences with their signs flipped at random.

    Exact for differences symmetric about 0, for others as the number of tasks grows. It needs no variance, so that
    three tasks that all improved give p = 0.25 and not, as a t test would, near 0.

    Args:
        ours: shape ``(T,)``, a number a task.
        theirs: shape ``(T,)``, that of the same tasks to compare with.
        resampling: how often and from what seed. All ``2**T`` flips are gone through where they are no more.

    Returns:
        The p-value; 1 where no task differs.
    """
    difference = differences(ours, theirs)
    # A task without a difference is the same whichever way it is flipped; one alone is as far off either way.
    moved = difference[difference != 0]
    if len(moved) < 2:
        return 1.0
    found = stats().permutation_test(
        (moved, np.zeros(len(moved))),
        lambda a, b, axis: (a - b).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resampling.resamples,
        batch=max(1, BATCH_NUMBERS // (2 * len(moved))),
        rng=np.random.default_rng(resampling.seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of one false finding or more among all of them stays below the level.

    It holds whatever the dependence of the selectors, which all judge the same rollouts; Bonferroni's is never
    smaller. Four lines of ours, because the library that has it would add two others to every installation.

    Args:
        p_values: one a comparison.

    Returns:
        The corrected p-values, in the same order.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in corrected]


def smallest_detectable(gains: FloatArray, power: float = 0.8, level: float = 0.05) -> float | None:
    """The true difference that a paired comparison of this size would find with this power.

    ``(t(1 - level / 2) + t(power)) * sd / sqrt(T)`` with Student's t of T - 1 degrees of freedom: for one comparison,
    before any correction for several.

    Args:
        gains: shape ``(T,)``, the paired differences of accuracies.
        power: chance to find it.
        level: two-sided level of the test.

    Returns:
        At most 1; ``None`` where no difference differs from another, and where none could be found however large: of
        fewer than six tasks ``paired_p`` is never below 5 %, and no two accuracies are further apart than 1.
    """
    tasks = len(gains)
    if 2.0 ** (1 - tasks) >= level or np.ptp(gains) <= ROUNDING:
        return None
    t = stats().t
    factor = t.ppf(1 - level / 2, tasks - 1) + t.ppf(power, tasks - 1)
    found = float(factor * gains.std(ddof=1) / np.sqrt(tasks))
    return found if found <= 1.0 else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
