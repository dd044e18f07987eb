"""What was run: from a trace file, without its timelines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ec_agent.evaluation.results import TaskResult
from ec_agent.traces.opening import open_store
from ec_agent.traces.places import short_name

MOST_FAILURES = 20
"""So many kinds of failures are named; all are counted."""

MOST_LETTERS = 200
"""Of an error's first line."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run, and what it cost.

    Attributes:
        file: name of the trace file, without its folder; of a database its URL without passwords.
        settings: what the run was begun with: agent, n, seed, temperature ...
        models: names of the models that answered, the most frequent first; empty where no call names one.
        tasks: how many tasks the run has, those that are not finished included.
        costs: ``model_calls``, ``unsampled_calls`` (seed and temperature could not be set), ``prompt_tokens``,
            ``generated_tokens`` and ``seconds`` of all rollouts, greedy ones and those that were run again included.
        failures: first line of an error -> how many rollouts failed with it, greedy ones included; at most
            ``MOST_FAILURES``.
    """

    file: str
    settings: dict[str, Any]
    models: tuple[str, ...]
    tasks: int
    costs: dict[str, float]
    failures: dict[str, int]


def facts_of(path: Path | str, results: Sequence[TaskResult]) -> RunFacts:
    """Read a run's facts.

    Args:
        path: the trace file.
        results: what was loaded from it; its calls name the models.

    Raises:
        TraceError: the file is no trace file.
    """
    with open_store(path) as store:
        settings, totals, failures, costs = store.settings(), store.totals(), store.failures(), store.costs()
    models = Counter(
        call.model
        for result in results
        for candidate in result.candidates
        for call in candidate.trajectory.calls
        if call.model
    )
    kinds = Counter(_first_line(error) for _, error in failures)
    return RunFacts(
        file=short_name(path),
        settings=settings,
        models=tuple(name for name, _ in models.most_common()),
        tasks=len(totals),
        costs=costs,
        failures=dict(kinds.most_common(MOST_FAILURES)),
    )


def _first_line(error: str) -> str:
    line = error.strip().split("\n")[0]
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 4]} ..."
