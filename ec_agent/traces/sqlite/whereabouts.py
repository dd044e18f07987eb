"""Checks that an open trace file still exists under its name, and deletes a file that nobody else has open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ec_agent.errors import TraceError

Identity = tuple[int, int]


def identity_of(path: Path) -> Identity | None:
    """Return what identifies a file even if it is replaced by one of the same name. ``None`` if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def see_in_place(path: Path, opened: Identity | None) -> None:
    """Check that the file under this name is still the one that was opened.

    SQLite writes to a deleted or replaced file without an error, and the data is lost when the file is closed.

    Raises:
        TraceError: the file was deleted, moved or replaced.
    """
    if identity_of(path) != opened:
        raise TraceError(
            f"{path} was deleted, moved or replaced while it was being written, so new data would be lost; if it was "
            "moved, move it back, make sure that nothing changes it, and repeat the command"
        )


def delete(connection: sqlite3.Connection, path: Path) -> None:
    """Delete the file that a connection has open, and close the connection.

    Args:
        connection: a connection in autocommit mode, without an open transaction.
        path: the file.

    Raises:
        TraceError: another process has the file open, or it cannot be deleted. Nothing was deleted.
    """
    try:
        connection.execute("PRAGMA journal_mode = DELETE")  # fails if another process has the file open
        connection.execute("BEGIN EXCLUSIVE")
        path.unlink()
    except (sqlite3.Error, OSError) as error:
        raise TraceError(
            f"{path} cannot be deleted ({error}); end other processes that use it, such as an evaluation or a report, "
            "or give another file"
        ) from error
    finally:
        connection.close()
