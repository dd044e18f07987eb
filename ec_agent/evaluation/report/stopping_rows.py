"""The stopping plans of a report, replayed over its tasks. No model is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ec_agent.errors import EcAgentError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Estimate, Resampling
from ec_agent.evaluation.statistics.bootstrap import estimate
from ec_agent.evaluation.statistics.plan_comparison import PlanSummary, summary_of
from ec_agent.evaluation.statistics.plan_replays import Replayer
from ec_agent.selectors import LowestCentroid, MajorityVote, Selector
from ec_agent.stopping import Agreement, Beta, OutOfReach, Stop, StoppingPlan
from ec_agent.stopping.asking import ask, rank, taken
from ec_agent.stopping.spelling import spelled

LEAST = 3
"""Rollouts of a task from which a plan can save one."""


@dataclass(frozen=True, slots=True)
class StopRow:
    """One plan beside one selector.

    Attributes:
        selector: the selector's name.
        plan: how a command line names the plan.
        found: its figures.
    """

    selector: str
    plan: str
    found: PlanSummary


@dataclass(frozen=True, slots=True)
class AsRun:
    """What a run with a stopping plan came to, with the winners that ``best_of_n`` takes.

    Attributes:
        plan: how a command line names the plan.
        n: rollouts planned per task.
        started: mean number of rollouts that a task has.
        stopped: how many tasks have fewer than planned.
        winners: selector -> mean verdict of its winners.
    """

    plan: str
    n: int
    started: float
    stopped: int
    winners: Mapping[str, Estimate]


def as_run(
    results: Sequence[TaskResult],
    selectors: Mapping[str, Selector],
    plan: StoppingPlan,
    n: int,
    resampling: Resampling,
) -> AsRun:
    """The winners of a run that was stopped by a plan.

    Args:
        results: the tasks, each with the rollouts that started.
        selectors: those that choose; the majority vote and the lowest centroid among them are told of.
        plan: the plan.
        n: rollouts planned per task.
        resampling: how intervals are drawn.
    """
    counts = [len(result.candidates) for result in results]
    told = {name: one for name, one in selectors.items() if isinstance(one, MajorityVote | LowestCentroid)}
    return AsRun(
        plan=spelled(plan),
        n=n,
        started=sum(counts) / max(1, len(counts)),
        stopped=sum(count < n for count in counts),
        winners={
            name: estimate([_won(result, one, plan, n) for result in results], resampling) for name, one in told.items()
        },
    )


def _won(result: TaskResult, selector: Selector, plan: StoppingPlan, n: int) -> float:
    """The verdict on the winner; 0 where every rollout failed."""
    candidates = result.read_by(selector).candidates
    if all(candidate.error is not None for candidate in candidates):
        return 0.0
    left = n - len(candidates)
    said = ask(plan, candidates, 0, left) if left > 0 else None
    among = said.among if isinstance(said, Stop) else None
    winner = taken(rank(selector, candidates, among), candidates, among)
    return float(next(v for c, v in zip(candidates, result.correct, strict=True) if c.index == winner))


def usual_plans(n: int) -> tuple[StoppingPlan, ...]:
    """What is compared where nobody names plans; none where a task has too few rollouts."""
    if n < LEAST:
        return ()
    quarter = n // 4
    bolder = (Agreement(waves=(quarter, quarter, n - 2 * quarter), threshold=0.75),) if quarter > 1 else ()
    return (OutOfReach(), Agreement(), *bolder, Beta())


def stops_of(
    results: Sequence[TaskResult],
    selectors: Mapping[str, Selector],
    plans: Sequence[StoppingPlan] | None,
    resampling: Resampling,
) -> tuple[StopRow, ...]:
    """Each plan beside each selector; nothing where there is nothing to compare.

    Args:
        results: the tasks, with the settings of the phases that the report has.
        selectors: those that choose.
        plans: the plans; ``None`` takes the usual ones, and with the majority vote and the lowest centroid alone.
        resampling: how intervals are drawn; its seed is that of the orders, too.

    Raises:
        ConfigError: a plan that was named reads what was not stored, or fails.
    """
    n = min((len(result.candidates) for result in results), default=0)
    asked = usual_plans(n) if plans is None else plans
    if plans is None:
        selectors = {name: one for name, one in selectors.items() if isinstance(one, MajorityVote | LowestCentroid)}
    if not any(len(c.trajectory) for result in results for c in result.candidates):
        return ()
    rows = []
    for name, selector in selectors.items() if asked else ():
        replayer = Replayer(results, selector, seed=resampling.seed)
        whole = replayer.play(None)
        for plan in asked:
            try:
                found = summary_of(spelled(plan), replayer.play(plan), whole, resampling)
            except EcAgentError:
                if plans is not None:
                    raise
                continue  # answers that cannot be compared, in a table that nobody asked for
            rows.append(StopRow(name, spelled(plan), found))
    return tuple(rows)
