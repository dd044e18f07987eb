"""Adds the tables and columns of this version to a file of an older version.

They are found by comparing, so a new version that only adds a table or a column needs no code here. All statements run
in one transaction in which foreign keys are not enforced; they are checked at its end. ``docs/traces.md`` says what
each version added.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ec_agent.traces.sqlite.tables import TABLES


def bring_up(connection: sqlite3.Connection) -> None:
    """Add the tables and columns that a file of an older version lacks. Its data stays."""
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
    """Replace the table ``rollouts`` of version 1, in which each rollout had to have a task.

    Rollouts of recorded selections have none. SQLite cannot change a constraint, so the rows move to a new table.
    """
    kept = ", ".join(_columns(connection, "rollouts"))
    connection.execute(TABLES["rollouts"].replace("TABLE rollouts", "TABLE new_rollouts", 1))
    connection.execute(f"INSERT INTO new_rollouts ({kept}) SELECT {kept} FROM rollouts")
    connection.execute("DROP TABLE rollouts")
    connection.execute("ALTER TABLE new_rollouts RENAME TO rollouts")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Return the columns of a table, each with its SQL definition. Empty if there is no such table."""
    return {
        name: kind + " NOT NULL" * needed + (f" DEFAULT {default}" if default is not None else "")
        for _, name, kind, needed, default, _ in connection.execute(f"PRAGMA table_info({table})")
    }
