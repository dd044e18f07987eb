"""Writes and reads the run of a trace file: its settings and its tasks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from ec_agent.support.from_plain import made, of_type, parsed, text_of
from ec_agent.traces.sqlite.totals import RETRIED
from ec_agent.traces.stored import Asked

_SETTINGS: Mapping[str, Any] = {"n": int, "greedy": bool}
"""The settings that code uses, with their types. Other settings are only shown, and may have any type."""


def write_settings(connection: sqlite3.Connection, settings: Mapping[str, Any]) -> None:
    """Write settings of the run; those of the same name are replaced. Call it inside a transaction."""
    rows = [(name, json.dumps(value)) for name, value in settings.items()]
    connection.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)


def write_tasks(connection: sqlite3.Connection, tasks: Mapping[str, str]) -> None:
    """Write the id and the fingerprint of each task, in order. Call it inside a transaction."""
    rows = [(task, place, mark) for place, (task, mark) in enumerate(tasks.items())]
    connection.executemany("INSERT INTO tasks (task, place, fingerprint) VALUES (?, ?, ?)", rows)


def write_asked(connection: sqlite3.Connection, asked: Mapping[str, Asked]) -> None:
    """Write the question and the expected answer of tasks that the file has. Call it inside a transaction."""
    rows = [(text_of(each.question), text_of(each.expected), task) for task, each in asked.items()]
    connection.executemany("UPDATE tasks SET question = ?, expected = ? WHERE task = ?", rows)


def read_settings(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the run's settings. Empty if no run was begun."""
    rows = connection.execute("SELECT name, value FROM run WHERE name != ?", (RETRIED,)).fetchall()
    settings = {of_type(name, str, "run.name"): parsed(value, f"run.{name}") for name, value in rows}
    return {name: of_type(value, _SETTINGS.get(name, Any), f"run.{name}") for name, value in settings.items()}


def read_tasks(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the id of each task with its fingerprint, in order."""
    rows = connection.execute("SELECT task, fingerprint FROM tasks ORDER BY place").fetchall()
    return of_type(dict(rows), Mapping[str, str], "tasks")  # type: ignore[no-any-return]


def read_asked(connection: sqlite3.Connection) -> dict[str, Asked]:
    """Return the question and the expected answer of each task, by its id, in order."""
    rows = connection.execute("SELECT task, question, expected FROM tasks ORDER BY place").fetchall()
    return {
        of_type(task, str, "tasks.task"): made(Asked, {"question": question, "expected": expected}, "tasks")
        for task, question, expected in rows
    }
