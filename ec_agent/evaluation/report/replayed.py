"""The stopping plans of a report, replayed over its tasks. No model is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ec_agent.errors import EcAgentError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.statistics.replays import Replayer
from ec_agent.evaluation.statistics.stopping import PlanSummary, summary_of
from ec_agent.selectors import LowestCentroid, MajorityVote, Selector
from ec_agent.stopping import Agreement, Beta, OutOfReach, StoppingPlan
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
