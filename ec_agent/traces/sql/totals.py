"""Sums over the rollouts of a run, computed by the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ec_agent.support.from_plain import made, of_type, parsed
from ec_agent.traces.sql.database import Database
from ec_agent.traces.sql.rows import key_of
from ec_agent.traces.stored import COSTS, Key, TaskTotals

RETRIED = "retried_costs"
"""Name of a row in the table ``run``: the costs of failed rollouts that were deleted to run again. It is not a setting
of the run."""


def totals(database: Database) -> list[TaskTotals]:
    """Return sums over the rollouts of each task, in task order, including tasks without a rollout."""
    sample = "CASE WHEN kind = 'sample' THEN"
    costs = ", ".join(f"coalesce(sum({name}), 0)" for name in COSTS)
    query = (
        f"SELECT tasks.task, count({sample} 1 END), count({sample} error END), "
        f"coalesce(sum({sample} verdict END), 0.0), coalesce(max({sample} verdict END), 0.0), "
        f"max(CASE WHEN kind = 'greedy' THEN verdict END), {costs} "
        "FROM tasks LEFT JOIN rollouts USING (task) GROUP BY tasks.task ORDER BY tasks.place"
    )
    names = [each.name for each in fields(TaskTotals)]
    return [made(TaskTotals, dict(zip(names, row, strict=True)), "tasks") for row in database.rows(query)]


def counts(database: Database, samples: int, *, greedy: bool) -> dict[str, int]:
    """Return how many rollouts each task has: samples below that index, and the one at temperature 0 if it counts."""
    baseline = " OR (kind = 'greedy' AND number = 0)" if greedy else ""
    query = (
        "SELECT task, count(*) FROM rollouts WHERE task IS NOT NULL "
        f"AND ((kind = 'sample' AND number < ?){baseline}) GROUP BY task"
    )
    return {
        of_type(task, str, "rollouts.task"): of_type(count, int, "rollouts")
        for task, count in database.rows(query, (samples,))
    }


def failures(database: Database) -> list[tuple[Key, str]]:
    """Return the key and the error of each rollout of the run that failed."""
    query = (
        "SELECT task, kind, number, error FROM rollouts WHERE error IS NOT NULL AND task IS NOT NULL "
        "ORDER BY task, kind, number"
    )
    return [(key_of(*row[:3]), of_type(row[3], str, "rollouts.error")) for row in database.rows(query)]


def costs(database: Database) -> dict[str, float]:
    """Return the costs of the run by the names in ``COSTS``, with those of failed rollouts that were run again."""
    return costs_of(database, "task IS NOT NULL")


def costs_of(database: Database, where: str, values: Sequence[Any] = ()) -> dict[str, float]:
    """Return the costs of some rollouts of the run, and of all failed rollouts that were deleted to run again.

    Args:
        database: the open store.
        where: a SQL condition: which rollouts of the store count.
        values: the values for its marks.
    """
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in COSTS)
    (row,) = database.rows(f"SELECT {sums} FROM rollouts WHERE {where}", values)
    kept = database.rows("SELECT value FROM run WHERE name = ?", (RETRIED,))
    before = of_type(parsed(kept[0][0] if kept else "{}", f"run.{RETRIED}"), Mapping[str, float], RETRIED)
    return {
        name: of_type(cost, float, f"rollouts.{name}") + before.get(name, 0)
        for name, cost in zip(COSTS, row, strict=True)
    }
