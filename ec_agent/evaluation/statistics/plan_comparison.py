"""Stopping plans beside all N at once: what they save and what they lose, with intervals over tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.bootstrap import (
    Estimate,
    Resampling,
    differences,
    estimate,
    ratio,
    resampling_of,
)
from ec_agent.evaluation.statistics.plan_replays import Replayer, Replays
from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors import Selector
from ec_agent.stopping import StoppingPlan
from ec_agent.stopping.asking import check_plan, name_of
from ec_agent.support.checks import several

ALL = "all N"
"""What no plan is called."""


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """One plan beside all N at once, with the same selector and the same orders.

    Attributes:
        plan: its name; ``ALL`` for none.
        accuracy: mean verdict of the winner.
        difference: that minus the same without a plan, paired by task.
        tokens: share of the tokens that all N take, mean over tasks: what a question costs.
        bill: all tasks' tokens over the tokens that all N take in all tasks. It is above ``tokens`` where the questions
            on which rollouts disagree are the long ones.
        length: the same of the longest way through, which stands for time: above 1 where waves wait for one another.
        started: mean number of rollouts that started.
        same_winner: share of replays with the winner that all N have.
        exact: whether all orders were gone through.
    """

    plan: str
    accuracy: Estimate
    difference: Estimate
    tokens: Estimate
    bill: Estimate
    length: Estimate
    started: float
    same_winner: float
    exact: bool


def compare_plans(
    results: Sequence[TaskResult],
    plans: Sequence[StoppingPlan | None],
    selector: Selector,
    *,
    cancel: bool = False,
    seed: int = 0,
    resampling: Resampling | None = None,
) -> list[PlanSummary]:
    """Each plan beside all N at once; no model is called.

    Args:
        results: the tasks with their rollouts.
        plans: the plans; ``None`` is all N at once.
        selector: what chooses, with and without a plan.
        cancel: whether all start at once and the rest is cancelled, in place of waves.
        seed: of the drawn orders.
        resampling: how intervals are drawn.

    Raises:
        ConfigError: an argument is of another kind, there are no results, or a plan or the selector fails.
    """
    resampling = resampling_of(resampling)
    given: tuple[Any, ...] = several("plans", plans, object, "a list of stopping plans")
    for plan in given:
        if plan is not None:
            check_plan(plan, "a plan in plans")
    replayer = Replayer(results, selector, seed=seed)
    whole = replayer.play(None)
    return [
        summary_of(ALL if plan is None else name_of(plan), replayer.play(plan, cancel=cancel), whole, resampling)
        for plan in given
    ]


def summary_of(name: str, ours: Replays, whole: Replays, resampling: Resampling) -> PlanSummary:
    """The figures of one plan.

    Args:
        name: what it is called.
        ours: what it made of each task.
        whole: what all N at once make of the same tasks.
        resampling: how intervals are drawn.
    """
    return PlanSummary(
        plan=name,
        accuracy=estimate(ours.accuracy, resampling),
        difference=estimate(differences(ours.accuracy, whole.accuracy), resampling),
        tokens=estimate(share(ours.tokens, whole.tokens), resampling),
        bill=ratio(ours.tokens, whole.tokens, resampling),
        length=ratio(ours.length, whole.length, resampling),
        started=float(ours.started.mean()),
        same_winner=float(ours.same_winner.mean()),
        exact=ours.exact,
    )


def share(ours: FloatArray, whole: FloatArray) -> FloatArray:
    """Each task's part of what all N take, shape ``(T,)``; NaN where they take nothing."""
    return np.asarray(np.divide(ours, whole, out=np.full(len(ours), np.nan), where=whole > 0))
