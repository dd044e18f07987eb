"""Writes and reads the run of a trace store: its settings and its tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ec_agent.support.from_plain import made, of_type, parsed
from ec_agent.traces.sql.database import Database
from ec_agent.traces.sql.totals import RETRIED
from ec_agent.traces.stored import Asked

_SETTINGS: Mapping[str, Any] = {"n": int, "greedy": bool}
"""The settings that code uses, with their types. Other settings are only shown, and may have any type."""


def write_settings(database: Database, settings: Mapping[str, Any]) -> None:
    """Write settings of the run; those of the same name are replaced. Call it inside ``write``."""
    rows = [(name, json.dumps(value)) for name, value in settings.items()]
    database.change_many(
        "INSERT INTO run (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", rows
    )


def write_tasks(database: Database, tasks: Mapping[str, str]) -> None:
    """Write the id and the fingerprint of each task, in order. Call it inside ``write``."""
    rows = [(task, place, mark) for place, (task, mark) in enumerate(tasks.items())]
    database.change_many("INSERT INTO tasks (task, place, fingerprint) VALUES (?, ?, ?)", rows)


def write_asked(database: Database, asked: Mapping[str, Asked]) -> None:
    """Write the question and the expected answer of tasks that the store has. Call it inside ``write``."""
    rows = [(database.text_of(each.question), database.text_of(each.expected), task) for task, each in asked.items()]
    database.change_many("UPDATE tasks SET question = ?, expected = ? WHERE task = ?", rows)


def read_settings(database: Database) -> dict[str, Any]:
    """Return the run's settings. Empty if no run was begun."""
    rows = database.rows("SELECT name, value FROM run WHERE name != ?", (RETRIED,))
    settings = {of_type(name, str, "run.name"): parsed(value, f"run.{name}") for name, value in rows}
    return {name: of_type(value, _SETTINGS.get(name, Any), f"run.{name}") for name, value in settings.items()}


def read_tasks(database: Database) -> dict[str, str]:
    """Return the id of each task with its fingerprint, in order."""
    rows = database.rows("SELECT task, fingerprint FROM tasks ORDER BY place")
    return of_type(dict(rows), Mapping[str, str], "tasks")  # type: ignore[no-any-return]


def read_asked(database: Database) -> dict[str, Asked]:
    """Return the question and the expected answer of each task, by its id, in order."""
    rows = database.rows("SELECT task, question, expected FROM tasks ORDER BY place")
    return {
        of_type(task, str, "tasks.task"): made(Asked, {"question": question, "expected": expected}, "tasks")
        for task, question, expected in rows
    }
