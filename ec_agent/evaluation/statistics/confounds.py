"""Whether a selector's score is a count of calls or tokens in disguise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.auroc import task_auroc
from ec_agent.evaluation.statistics.bootstrap import Estimate, Resampling, estimate, stats
from ec_agent.evaluation.statistics.prefix import common_prefix
from ec_agent.evaluation.statistics.standing import IntArray, Standing, standing
from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors import CONFOUNDS, Candidate, FewestCalls, Longest, MostCalls, Selector, Shortest, selector_named

PANEL: Mapping[str, Selector] = MappingProxyType({name: selector_named(name) for name in CONFOUNDS})
"""The selectors that know nothing but how long a rollout was, by name: what a clever one has to be told apart from."""

ALIKE = 0.5
"""From this within-task rank correlation on two orders count as alike: they share a quarter of their variance."""


@dataclass(frozen=True, slots=True)
class Confounds:
    """What is left of a selector once lengths are held equal.

    Attributes:
        with_tokens: mean within-task rank correlation (Spearman) of its preference with the number of tokens, positive
            where it prefers long rollouts; ``None`` where no task has both varying.
        with_calls: the same with the number of LLM calls.
        equal_calls: within-task AUROC over pairs of rollouts with equally many calls.
        equal_call_pairs: share of the pairs with different verdicts that have equally many calls; ``None`` without any.
        prefix: within-task AUROC with every rollout cut to its shortest sibling's length before it is scored; ``None``
            for a selector that reads no signal. Reported, not judged by: what a selector reads at the end of a rollout
            may be honest and is cut too.
    """

    with_tokens: float | None
    with_calls: float | None
    equal_calls: Estimate
    equal_call_pairs: float | None
    prefix: Estimate | None


@dataclass(frozen=True, slots=True)
class Chance:
    """What a selector's ties alone make: its levels in a random order (``Standing.chance``).

    Attributes:
        difference: accuracy of that order minus Pass@1.
        left: the selector's accuracy minus that order's.
    """

    difference: Estimate
    left: Estimate


def confounds(
    results: Sequence[TaskResult], selector: Selector, standings: Sequence[Standing], resampling: Resampling
) -> Confounds:
    """Look at one selector.

    Args:
        results: the tasks.
        selector: the selector.
        standings: what it made of each task.
        resampling: how intervals are drawn.
    """
    calls = [np.array([calls_of(c) for c in result.candidates]) for result in results]
    tokens = [np.array([tokens_of(c) for c in result.candidates]) for result in results]
    verdicts = [result.correct for result in results]
    prefix = None
    if selector.signals:
        on_prefix = [standing(common_prefix(result.candidates)[0], selector) for result in results]
        prefix = estimate([task_auroc(s, right) for s, right in zip(on_prefix, verdicts, strict=True)], resampling)
    return Confounds(
        with_tokens=_mean([_correlation(s, n) for s, n in zip(standings, tokens, strict=True)]),
        with_calls=_mean([_correlation(s, n) for s, n in zip(standings, calls, strict=True)]),
        equal_calls=estimate(
            [task_auroc(s, r, n) for s, r, n in zip(standings, verdicts, calls, strict=True)], resampling
        ),
        equal_call_pairs=_equal_share(standings, verdicts, calls),
        prefix=prefix,
    )


def suspicions(
    difference: Estimate, by_chance: Chance, auroc: Estimate, found: Confounds, panel: Mapping[str, Estimate]
) -> tuple[str, ...]:
    """Why a difference need not come from what the selector reads; empty where nothing points to it.

    * A random order with the same ties differs from Pass@1 in the same direction and by at least half as much, and the
      selector's distance to that order is not clear of 0 on this side.
    * A selector of the panel (fewest or most calls, shortest, longest) differs from Pass@1 in the same direction, with
      an interval that excludes 0 and by at least half as much, and the score's within-task rank correlation with that
      count is at least ``ALIKE`` in that selector's direction.
    * The AUROC is clear of 0.5, and among pairs with equal call counts it cannot be told or its distance to 0.5 is
      halved or more, or turned round.

    Args:
        difference: accuracy minus Pass@1.
        by_chance: what a random order with the same ties makes.
        auroc: within-task AUROC over all pairs.
        found: what was found of the selector's confounds.
        panel: accuracy minus Pass@1 of the panel's selectors, by name.
    """
    reasons = [reason for name in panel if (reason := _like(name, difference, found, panel[name]))]
    if _by_chance(difference, by_chance):
        reasons.append(f"a random order with the same ties makes {by_chance.difference.value:+.3f}")
    side = auroc.excludes(0.5)
    if side and auroc.value is not None and found.equal_call_pairs is not None and found.equal_call_pairs < 1:
        equal = found.equal_calls.value
        if equal is None:
            reasons.append("no two rollouts with different verdicts have equally many calls")
        elif side * (equal - 0.5) <= side * (auroc.value - 0.5) / 2:
            reasons.append(f"AUROC {auroc.value:.2f}, but {equal:.2f} among rollouts with equally many calls")
    return tuple(reasons)


def _by_chance(difference: Estimate, by_chance: Chance) -> bool:
    ours, theirs = difference.value or 0.0, by_chance.difference.value or 0.0
    side = 1 if ours > 0 else -1
    return ours * theirs > 0 and abs(theirs) >= abs(ours) / 2 and by_chance.left.excludes(0) != side


def _like(name: str, difference: Estimate, found: Confounds, theirs: Estimate) -> str | None:
    if difference.value is None or theirs.value is None or difference.value * theirs.value <= 0:
        return None
    correlation = {
        FewestCalls.label: -(found.with_calls or 0.0),
        MostCalls.label: found.with_calls or 0.0,
        Shortest.label: -(found.with_tokens or 0.0),
        Longest.label: found.with_tokens or 0.0,
    }.get(name, 0.0)
    half = abs(theirs.value) >= abs(difference.value) / 2
    if correlation < ALIKE or not half or not theirs.excludes(0):
        return None
    return (
        f"{name.replace('_', ' ')} alone gives {theirs.value:+.3f}, and the two orders correlate at {correlation:.2f}"
    )


def _correlation(standing: Standing, counts: IntArray) -> float | None:
    levels, counts = standing.levels[standing.ranked], counts[standing.ranked]
    if len(levels) < 2 or np.ptp(levels) == 0 or np.ptp(counts) == 0:
        return None
    return float(stats().spearmanr(-levels, counts).statistic)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _equal_share(
    standings: Sequence[Standing], verdicts: Sequence[FloatArray], calls: Sequence[IntArray]
) -> float | None:
    equal = total = 0
    for one, right, count in zip(standings, verdicts, calls, strict=True):
        pairs = (right[:, None] > right[None, :]) & one.ranked[:, None] & one.ranked[None, :]
        total += int(pairs.sum())
        equal += int((pairs & (count[:, None] == count[None, :])).sum())
    return equal / total if total else None


def tokens_of(candidate: Candidate) -> int:
    """Generated tokens of a rollout."""
    return len(candidate.trajectory)


def calls_of(candidate: Candidate) -> int:
    """LLM calls of a rollout."""
    return len(candidate.trajectory.calls)
