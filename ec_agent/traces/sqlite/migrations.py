"""From the tables of an older version to those of this one.

A version with one more table, or one more column, needs nothing here: what a file lacks is added. All runs inside a
transaction in which foreign keys are not enforced; they are checked at its end. ``docs/traces.md`` says what each
version has.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ec_agent.traces.sqlite.tables import TABLES


def bring_up(connection: sqlite3.Connection) -> None:
    """Give a file of an older version the tables and columns that it lacks; what is in it stays."""
    if "selection" not in _columns(connection, "rollouts"):
        _rollouts_without_a_task(connection)
    with closing(sqlite3.connect(":memory:")) as new:
        for table, statement in TABLES.items():
            new.execute(statement)
            there = _columns(connection, table)
            if not there:
                connection.execute(statement)
                continue
            for column, definition in _columns(new, table).items():
                if column not in there:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {definition}")


def _rollouts_without_a_task(connection: sqlite3.Connection) -> None:
    """Rollouts of recorded selections have no task; in version 1 each had, and SQLite wants a new table for it."""
    kept = ", ".join(_columns(connection, "rollouts"))
    connection.execute(TABLES["rollouts"].replace("TABLE rollouts", "TABLE new_rollouts", 1))
    connection.execute(f"INSERT INTO new_rollouts ({kept}) SELECT {kept} FROM rollouts")
    connection.execute("DROP TABLE rollouts")
    connection.execute("ALTER TABLE new_rollouts RENAME TO rollouts")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """A table's columns, each with its type and what SQL says of it besides; none where there is no such table."""
    return {
        name: kind + " NOT NULL" * needed + (f" DEFAULT {default}" if default is not None else "")
        for _, name, kind, needed, default, _ in connection.execute(f"PRAGMA table_info({table})")
    }
