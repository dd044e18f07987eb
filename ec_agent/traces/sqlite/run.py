"""The run that a trace file is for: its settings and its tasks, as rows and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from ec_agent.support.plain import made, of_type, parsed, text_of
from ec_agent.traces.sqlite.totals import RETRIED
from ec_agent.traces.stored import Asked

_SETTINGS: Mapping[str, Any] = {"n": int, "greedy": bool}
"""Those that are calculated with; the others are shown as they are."""


def write_settings(connection: sqlite3.Connection, settings: Mapping[str, Any]) -> None:
    """Set some of the run's settings, inside a transaction; those of the same name are replaced."""
    rows = [(name, json.dumps(value)) for name, value in settings.items()]
    connection.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)


def write_tasks(connection: sqlite3.Connection, tasks: Mapping[str, str]) -> None:
    """Write each task's id and fingerprint, in order, inside a transaction."""
    rows = [(task, place, mark) for place, (task, mark) in enumerate(tasks.items())]
    connection.executemany("INSERT INTO tasks (task, place, fingerprint) VALUES (?, ?, ?)", rows)


def write_asked(connection: sqlite3.Connection, asked: Mapping[str, Asked]) -> None:
    """Write what tasks that are there ask, inside a transaction."""
    rows = [(text_of(each.question), text_of(each.expected), task) for task, each in asked.items()]
    connection.executemany("UPDATE tasks SET question = ?, expected = ? WHERE task = ?", rows)


def read_settings(connection: sqlite3.Connection) -> dict[str, Any]:
    """The run's settings; empty where none was begun."""
    rows = connection.execute("SELECT name, value FROM run WHERE name != ?", (RETRIED,)).fetchall()
    settings = {of_type(name, str, "run.name"): parsed(value, f"run.{name}") for name, value in rows}
    return {name: of_type(value, _SETTINGS.get(name, Any), f"run.{name}") for name, value in settings.items()}


def read_tasks(connection: sqlite3.Connection) -> dict[str, str]:
    """Each task's id with its fingerprint, in order."""
    rows = connection.execute("SELECT task, fingerprint FROM tasks ORDER BY place").fetchall()
    return of_type(dict(rows), Mapping[str, str], "tasks")  # type: ignore[no-any-return]


def read_asked(connection: sqlite3.Connection) -> dict[str, Asked]:
    """What each task asks, by its id, in order."""
    rows = connection.execute("SELECT task, question, expected FROM tasks ORDER BY place").fetchall()
    return {
        of_type(task, str, "tasks.task"): made(Asked, {"question": question, "expected": expected}, "tasks")
        for task, question, expected in rows
    }
