"""From a trace file to what selectors and statistics read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ec_agent.errors import TraceError
from ec_agent.evaluation.results import TaskResult
from ec_agent.numbers.coverage import MIN_COVERAGE, unscored
from ec_agent.numbers.signals import ENTROPY, check_signal
from ec_agent.selectors import Candidate
from ec_agent.stopping import Stop, StoppingPlan, plan_named
from ec_agent.stopping.asking import ask
from ec_agent.support.checks import flag, share
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.opening import open_store
from ec_agent.traces.stored import StoredRollout, TaskTotals


def load_results(
    path: str | Path, *, signal: str = ENTROPY, min_coverage: float = MIN_COVERAGE, partial: bool = False
) -> list[TaskResult]:
    """The results of an evaluation, in task order; ``iter_results`` says what the arguments mean."""
    return list(iter_results(path, signal=signal, min_coverage=min_coverage, partial=partial))


def iter_results(
    path: str | Path, *, signal: str = ENTROPY, min_coverage: float = MIN_COVERAGE, partial: bool = False
) -> Iterator[TaskResult]:
    """The results of an evaluation one task at a time, so that a long run need not fit into memory.

    Args:
        path: a file that ``ec-agent eval`` wrote, or the URL of a database.
        signal: the signal that a rollout must have for its share of tokens; without, it is ``unscored``. For another
            selector ``result.read_by(selector)`` asks for that one's own signal, as reports and calibration do.
        min_coverage: that share.
        partial: give the tasks that are whole, where the run is not finished.

    Yields:
        One result a task; signals have single precision and are given as float64.

    Raises:
        TraceError: the file is no trace file, or the run is not finished and ``partial`` is not set.
    """
    check_signal(signal)
    share("min_coverage", min_coverage)
    flag("partial", partial)
    with open_store(path) as store:
        settings, totals, asked = store.settings(), store.totals(), store.asked()
        if not settings:
            raise TraceError(f"{store.name} holds no run; `ec-agent eval` fills it")
        whole = whole_tasks(store, settings, totals)
        if len(whole) < len(totals) and not partial:
            raise TraceError(
                f"{store.name} is not finished: {len(totals) - len(whole)} of {len(totals)} tasks lack rollouts; "
                "repeat the command that began it, or take the tasks that are whole: --partial, in Python partial=True"
            )
        for task in whole:
            rollouts = list(store.rollouts(task.task))
            yield TaskResult(
                task=task.task,
                candidates=tuple(candidate_of(rollout, signal, min_coverage) for rollout in rollouts),
                correct=np.array([rollout.verdict for rollout in rollouts]),
                greedy=task.greedy,
                min_coverage=min_coverage,
                asked=asked[task.task],
                greedy_rollout=next(
                    (candidate_of(each, signal, min_coverage) for each in store.rollouts(task.task, "greedy")), None
                ),
            )


def whole_tasks(
    store: TraceStoreProtocol, settings: Mapping[str, Any], totals: Sequence[TaskTotals]
) -> list[TaskTotals]:
    """The tasks that have all their rollouts, or as many as the run's stopping plan asked for."""
    judged = [t for t in totals if t.greedy is not None or not settings["greedy"]]
    return [t for t in judged if t.rollouts == settings["n"] or _stopped(store, settings, t)]


def candidate_of(rollout: StoredRollout, signal: str = ENTROPY, min_coverage: float = MIN_COVERAGE) -> Candidate:
    """The rollout as selectors and stopping plans see it."""
    return Candidate(
        index=rollout.key.number,
        trajectory=rollout.trajectory,
        final_action=rollout.final_action,
        unscored=None if rollout.error else unscored(rollout.trajectory, signal, min_coverage),
        error=rollout.error,
    )


def stop_in(settings: Mapping[str, Any]) -> StoppingPlan | None:
    """The stopping plan that a run was begun with, if any.

    Raises:
        ConfigError: it is none that there is.
    """
    return plan_named(**settings["stop"]) if isinstance(settings.get("stop"), dict) else None


def _stopped(store: TraceStoreProtocol, settings: Mapping[str, Any], task: TaskTotals) -> bool:
    """Whether the plan of the run has enough of a task's rollouts."""
    plan, left = stop_in(settings), settings["n"] - task.rollouts
    if plan is None or left <= 0 or not task.rollouts:
        return False
    return isinstance(ask(plan, map(candidate_of, store.rollouts(task.task)), 0, left), Stop)
