"""What the rollouts cost, how much they differ, how many failed. NumPy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.confounds import calls_of, tokens_of
from ec_agent.selectors import Candidate, final_answer


@dataclass(frozen=True, slots=True)
class Spread:
    """A count per rollout.

    Attributes:
        mean: the mean.
        low: the 5th percentile.
        median: the median.
        high: the 95th percentile.
    """

    mean: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Effort:
    """The rollouts as such, whoever picks among them.

    Attributes:
        rollouts: how many there are, failed ones too.
        failed: how many failed; each counts as wrong.
        failures: what they failed with -> how many.
        unscored: why logprobs of rollouts that ended cannot be used -> how many.
        distinct: mean over tasks of the share of distinct ones among the rollouts that ended, by final action and
            number of tokens; ``None`` where none ended.
        all_alike: tasks whose rollouts that ended are all the same: nothing to select from.
        tokens: generated tokens per rollout that ended; ``None`` where none ended.
        calls: LLM calls per rollout that ended.
        coverage: mean share of tokens with an entropy, over the rollouts whose share is known; ``None`` without any.
        coverage_unknown: rollouts that ended and whose share is not known.
    """

    rollouts: int
    failed: int
    failures: dict[str, int]
    unscored: dict[str, int]
    distinct: float | None
    all_alike: int
    tokens: Spread | None
    calls: Spread | None
    coverage: float | None
    coverage_unknown: int


def effort(results: Sequence[TaskResult]) -> Effort:
    """Count."""
    every = [candidate for result in results for candidate in result.candidates]
    ended = [candidate for candidate in every if candidate.error is None]
    groups = [[c for c in result.candidates if c.error is None] for result in results]
    kinds = [(len({_likeness(c) for c in group}), len(group)) for group in groups if group]
    coverages = [candidate.trajectory.coverage for candidate in ended]
    known = [coverage for coverage in coverages if coverage is not None]
    return Effort(
        rollouts=len(every),
        failed=len(every) - len(ended),
        failures=dict(Counter(c.error for c in every if c.error is not None).most_common()),
        unscored=dict(Counter(c.unscored for c in ended if c.unscored is not None).most_common()),
        distinct=float(np.mean([different / size for different, size in kinds])) if kinds else None,
        all_alike=sum(different == 1 < size for different, size in kinds),
        tokens=_spread([tokens_of(candidate) for candidate in ended]),
        calls=_spread([calls_of(candidate) for candidate in ended]),
        coverage=float(np.mean(known)) if known else None,
        coverage_unknown=len(coverages) - len(known),
    )


def _spread(counts: Sequence[int]) -> Spread | None:
    if not counts:
        return None
    low, median, high = np.percentile(counts, [5, 50, 95])
    return Spread(float(np.mean(counts)), float(low), float(median), float(high))


def _likeness(candidate: Candidate) -> tuple[Hashable, int]:
    return final_answer(candidate.final_action), tokens_of(candidate)
