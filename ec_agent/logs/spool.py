"""Keeps calls that come in any order on disk, and then yields them rollout by rollout."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np

from ec_agent.numbers.call_fields import PLAIN_FIELDS, plain_of
from ec_agent.numbers.signals import SURPRISAL
from ec_agent.numbers.trajectory import Call, Trajectory

# Beside these, the entropies and the surprisal are kept. No reader of a log keeps texts or tools.
_TABLES = f"""
CREATE TABLE calls (rollout TEXT, place TEXT, {", ".join(each.name for each in PLAIN_FIELDS)}, entropies BLOB,
                    surprisal BLOB);
CREATE TABLE tasks (rollout TEXT PRIMARY KEY, task TEXT);
CREATE TABLE notes (rollout TEXT, kind TEXT, note TEXT, PRIMARY KEY (rollout, kind));
"""


class Spool:
    """A temporary database for calls. SQLite moves it to disk when it grows, and deletes it when it is closed."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.executescript(_TABLES)
        self._connection.execute("BEGIN")

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def add(self, rollout: str, place: str, call: Call) -> None:
        """Keep a call of a rollout.

        Args:
            rollout: name of the rollout.
            place: the calls of a rollout are sorted by this text. Calls with equal texts keep their order.
            call: the call.
        """
        surprisal = call.signals.get(SURPRISAL)
        values = (call.entropies.tobytes(), None if surprisal is None else surprisal.tobytes())
        row = (rollout, place, *plain_of(call).values(), *values)
        self._connection.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(row))})", row)

    def name_task(self, rollout: str, task: str) -> None:
        """Set the task of a rollout."""
        self._connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?)", (rollout, task))

    def note(self, rollout: str, kind: str, note: str) -> None:
        """Keep a note about a rollout. Only the first note of each kind is kept."""
        self._connection.execute("INSERT OR IGNORE INTO notes VALUES (?, ?, ?)", (rollout, kind, note))

    def noted(self, rollout: str, kind: str) -> str | None:
        """Return the note of this kind about a rollout, or ``None``."""
        query = "SELECT note FROM notes WHERE rollout = ? AND kind = ?"
        row = self._connection.execute(query, (rollout, kind)).fetchone()
        return None if row is None else str(row[0])

    def notes(self, rollout: str, prefix: str) -> list[tuple[str, str]]:
        """Return the notes about a rollout of the kinds that begin with a prefix, each with its kind, sorted."""
        query = "SELECT kind, note FROM notes WHERE rollout = ? AND substr(kind, 1, ?) = ? ORDER BY kind"
        return self._connection.execute(query, (rollout, len(prefix), prefix)).fetchall()

    def places(self) -> list[tuple[str, str]]:
        """Return the rollout and the place of each call."""
        return self._connection.execute("SELECT rollout, place FROM calls ORDER BY rowid").fetchall()

    def rename(self, rollout: str, name: str, place: str | None = None) -> None:
        """Make the calls of a rollout those of another name, and give them all this place, if one is given."""
        self._connection.execute("CREATE INDEX IF NOT EXISTS by_name ON calls (rollout)")
        query = "UPDATE calls SET rollout = ?, place = coalesce(?, place) WHERE rollout = ?"
        self._connection.execute(query, (name, place, rollout))

    def drop(self, rollout: str, place: str) -> None:
        """Leave out the calls of a rollout at this place."""
        self._connection.execute("DELETE FROM calls WHERE rollout = ? AND place = ?", (rollout, place))

    def rollouts(self) -> Iterator[tuple[str, str | None, Trajectory]]:
        """Yield the name, the task and the calls of each rollout, in the order of their first calls."""
        self._connection.execute("CREATE INDEX by_rollout ON calls (rollout, place)")
        query = (
            "SELECT rollout, task FROM calls LEFT JOIN tasks USING (rollout) GROUP BY rollout ORDER BY min(calls.rowid)"
        )
        for rollout, task in self._connection.execute(query):
            calls = self._connection.execute("SELECT * FROM calls WHERE rollout = ? ORDER BY place, rowid", (rollout,))
            yield rollout, task, Trajectory([_call(row[2:]) for row in calls])


def _call(row: tuple[Any, ...]) -> Call:
    *values, entropies, surprisal = row
    fields = zip(PLAIN_FIELDS, values, strict=True)  # SQLite has no truth values
    plain: dict[str, Any] = {each.name: bool(value) if each.kind is bool else value for each, value in fields}
    signals = {} if surprisal is None else {SURPRISAL: np.frombuffer(surprisal)}
    return Call(np.frombuffer(entropies), signals=signals, **plain)
