"""Whether what is written still lies where its name says, and deleting it where nobody else writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ec_agent.errors import TraceError

Identity = tuple[int, int]


def identity_of(path: Path) -> Identity | None:
    """What tells a file from another one of the same name; ``None`` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def see_in_place(path: Path, opened: Identity | None) -> None:
    """See that the file that was opened is still the one of that name.

    One that was deleted or replaced takes every write without a complaint, and is gone when it is closed.

    Raises:
        TraceError: it is not.
    """
    if identity_of(path) != opened:
        raise TraceError(
            f"{path} was deleted, moved or replaced while it was being written: what is written now is not in it; put "
            "it back if it was moved, let nobody touch it, and repeat the command"
        )


def delete(connection: sqlite3.Connection, path: Path) -> None:
    """Delete the file that a connection has open, and close that.

    Args:
        connection: in autocommit mode, without a transaction.
        path: the file.

    Raises:
        TraceError: another process has it open, or it cannot be deleted. Nothing was deleted.
    """
    try:
        connection.execute("PRAGMA journal_mode = DELETE")  # leaving the write-ahead log takes being alone
        connection.execute("BEGIN EXCLUSIVE")
        path.unlink()
    except (sqlite3.Error, OSError) as error:
        raise TraceError(
            f"{path} cannot be deleted ({error}); end what else uses it, an evaluation or a report that runs, or name "
            "another file"
        ) from error
    finally:
        connection.close()
