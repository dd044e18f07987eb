"""What the rollouts of a run came to, added up by the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import fields

from ec_agent.support.plain import made, of_type, parsed
from ec_agent.traces.sqlite.rows import key_of
from ec_agent.traces.stored import COSTS, Key, TaskTotals

RETRIED = "retried_costs"
"""What a file calls the costs of failed rollouts that were run again: gone, and paid for. No setting of the run."""


def totals(connection: sqlite3.Connection) -> list[TaskTotals]:
    """What each task's rollouts came to, in task order, those without a rollout included."""
    sample = "CASE WHEN kind = 'sample' THEN"
    costs = ", ".join(f"coalesce(sum({name}), 0)" for name in COSTS)
    query = (
        f"SELECT tasks.task, count({sample} 1 END), count({sample} error END), "
        f"coalesce(sum({sample} verdict END), 0.0), coalesce(max({sample} verdict END), 0.0), "
        f"max(CASE WHEN kind = 'greedy' THEN verdict END), {costs} "
        "FROM tasks LEFT JOIN rollouts USING (task) GROUP BY tasks.task ORDER BY tasks.place"
    )
    names = [each.name for each in fields(TaskTotals)]
    return [
        made(TaskTotals, dict(zip(names, row, strict=True)), "tasks") for row in connection.execute(query).fetchall()
    ]


def failures(connection: sqlite3.Connection) -> list[tuple[Key, str]]:
    """The run's rollouts that failed, with what they failed with."""
    query = (
        "SELECT task, kind, number, error FROM rollouts WHERE error IS NOT NULL AND task IS NOT NULL "
        "ORDER BY task, kind, number"
    )
    return [(key_of(*row[:3]), of_type(row[3], str, "rollouts.error")) for row in connection.execute(query).fetchall()]


def costs(connection: sqlite3.Connection, *, failed: bool = False) -> dict[str, float]:
    """What the run has cost: all rollouts that are there, or those that failed, and those run again since."""
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in COSTS)
    only = "AND error IS NOT NULL" if failed else ""
    row = connection.execute(f"SELECT {sums} FROM rollouts WHERE task IS NOT NULL {only}").fetchone()
    kept = connection.execute("SELECT value FROM run WHERE name = ?", (RETRIED,)).fetchone()
    before = of_type(parsed(kept[0] if kept else "{}", f"run.{RETRIED}"), Mapping[str, float], RETRIED)
    return {
        name: of_type(cost, float, f"rollouts.{name}") + before.get(name, 0)
        for name, cost in zip(COSTS, row, strict=True)
    }
