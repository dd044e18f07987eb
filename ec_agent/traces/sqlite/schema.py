"""Checks that a file has the tables of this version, and writes to it in transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ec_agent.errors import TraceError
from ec_agent.traces.sqlite.migrations import bring_up
from ec_agent.traces.sqlite.tables import TABLES
from ec_agent.traces.stored import VERSION

APPLICATION = 0x45434147  # "ECAG": tells our files from other SQLite files


def prepare(connection: sqlite3.Connection, path: str, *, create: bool) -> None:
    """Make sure that a file has the tables of this version. Make them in a new file, and migrate an older file.

    Args:
        connection: a connection in autocommit mode (``isolation_level=None``).
        path: name of the file in errors.
        create: whether the file may be new.

    Raises:
        TraceError: the file is not a trace file, is of a newer version, or is older and cannot be written.
    """
    try:
        connection.execute("PRAGMA foreign_keys = OFF")  # a migration replaces tables that others refer to
        if create:
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):  # if several processes start at once, only one makes the tables
                if not _number(connection, "schema_version"):
                    for statement in TABLES.values():
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {VERSION}")
        application = _number(connection, "application_id")
    except sqlite3.OperationalError as error:
        raise TraceError(
            f"{path} cannot be read ({error}); check its permissions and which other processes use it"
        ) from error
    except sqlite3.DatabaseError as error:
        raise TraceError(f"{path} is not a trace file ({error}); give {_OURS}") from error
    if application != APPLICATION:
        what = "a database, but not a trace file" if _number(connection, "schema_version") else "empty"
        raise TraceError(f"{path} is {what}; give {_OURS}")
    if (version := _number(connection, "user_version")) != VERSION:
        _migrate(connection, path, version)


_RESTORE = "restore it from a copy, or give another file"
_OURS = "one that `ec-agent eval` or TraceStore.record wrote"


def _migrate(connection: sqlite3.Connection, path: str, version: int) -> None:
    if not 1 <= version < VERSION:
        better = "update ec_agent" if version > VERSION else "run the evaluation into a new file"
        raise TraceError(f"{path} has tables of version {version}, this ec_agent writes version {VERSION}; {better}")
    with transaction(connection):  # all steps or none: a kill leaves the old file
        if _number(connection, "user_version") != VERSION:  # another process may have been faster
            bring_up(connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise TraceError(f"{path} cannot be brought to version {VERSION}: rows are missing; restore it from a copy")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write everything inside the ``with`` block, or nothing if it fails.

    The write lock is taken at the beginning, so no other process can change what is read inside.

    Raises:
        TraceError: the file cannot be written: the disk is full, or another process locks the file for too long.
    """
    with writing():
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def writing() -> Iterator[None]:
    """Turn each error of writing inside the ``with`` block into a ``TraceError``."""
    try:
        yield
    except sqlite3.Error as error:
        if type(error) is sqlite3.DatabaseError:  # the class itself, not a subclass, means a damaged file
            raise TraceError(f"the trace file is damaged ({error}); {_RESTORE}") from error
        if isinstance(error, sqlite3.ProgrammingError):
            raise TraceError(
                f"nothing was stored ({error}); use a store only while it is open and in the thread that opened it, "
                "and store only objects that ec_agent made"
            ) from error
        if not isinstance(error, sqlite3.OperationalError):
            raise TraceError(
                f"the trace file does not accept this ({error}); check that its run was begun with this task"
            ) from error
        raise TraceError(
            f"the trace file cannot be written ({error}); check the disk and which other processes use the file, then "
            "repeat the command: what was stored before is kept"
        ) from error


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
