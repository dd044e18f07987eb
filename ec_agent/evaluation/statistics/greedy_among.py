"""What the rollout at temperature 0 is worth as one of the n: it takes the place of the first sampled rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.bootstrap import Estimate, Resampling, differences, estimate
from ec_agent.evaluation.statistics.standing import standing
from ec_agent.evaluation.statistics.summary import per_task
from ec_agent.selectors import Selector


@dataclass(frozen=True, slots=True)
class GreedyAmong:
    """One selector, with the greedy rollout among the n. Over the tasks that have one.

    Attributes:
        selector: its name.
        accuracy: expected verdict of the pick, ties averaged.
        minus_greedy: that minus the verdict of the greedy rollout alone, which costs one rollout.
        minus_sampled: that minus the same selector's accuracy on the n sampled rollouts.
    """

    selector: str
    accuracy: Estimate
    minus_greedy: Estimate
    minus_sampled: Estimate


def with_greedy(result: TaskResult) -> TaskResult:
    """The task as it would be with ``sampling=`` at temperature 0 for rollout 0; the number of rollouts is the same.

    The sampled rollouts are exchangeable, so that it does not matter which of them is left out.
    """
    if result.greedy_rollout is None or result.greedy is None:
        return result
    first, *others = result.candidates
    greedy = replace(result.greedy_rollout, index=first.index)
    correct = np.array([result.greedy, *result.correct[1:]])
    return replace(result, candidates=(greedy, *others), correct=correct)


def greedy_among(
    results: Sequence[TaskResult], selectors: Mapping[str, Selector], resampling: Resampling
) -> tuple[GreedyAmong, ...]:
    """Each selector with the greedy rollout among the n; empty where no task has one. No model is called.

    Args:
        results: the tasks.
        selectors: name -> selector.
        resampling: how intervals are drawn.
    """
    sampled = [result for result in results if result.greedy_rollout is not None and result.greedy is not None]
    if not sampled:
        return ()
    mixed = [with_greedy(result) for result in sampled]
    alone = np.array([result.greedy for result in sampled])
    rows = []
    for name, selector in selectors.items():
        ours, theirs = (_accuracies(each, selector) for each in (mixed, sampled))
        against = (estimate(differences(ours, other), resampling) for other in (alone, theirs))
        rows.append(GreedyAmong(name, estimate(ours, resampling), *against))
    return tuple(rows)


def _accuracies(results: Sequence[TaskResult], selector: Selector) -> np.ndarray:
    return per_task(results, [standing(result.read_by(selector).candidates, selector) for result in results])
