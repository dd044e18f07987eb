"""The SQLite file that a trace store keeps its rows in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ec_agent.errors import TraceError
from ec_agent.support.checks import file_path, is_file
from ec_agent.support.from_plain import text_of
from ec_agent.support.private_files import make_private
from ec_agent.traces.sql.database import Row
from ec_agent.traces.sqlite.damaged_files import reading
from ec_agent.traces.sqlite.schema import prepare, transaction, writing
from ec_agent.traces.sqlite.whereabouts import delete, identity_of, see_in_place

T = TypeVar("T")


class SQLiteDatabase:
    """An open trace file; see ``Database`` for the methods. It may be used by the thread that opened it only.

    Args:
        path: the file.
        create: whether to make the file and its folder if they are missing. Only the owner can read the file.
        timeout: seconds to wait while another process is writing.

    Raises:
        TraceError: the file is missing, is not a trace file, or was written by a newer version.
    """

    IDS = TEXTS = "SELECT value FROM json_each(?)"

    def __init__(self, path: str | Path, *, create: bool, timeout: float) -> None:
        self.path = file_path("path", path, "the name of a trace file")
        self._timeout = timeout
        if create:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TraceError(f"the folder of {path} cannot be made ({error}); give another file") from error
        elif not is_file(self.path):
            raise TraceError(
                f"there is no file {path}; run `ec-agent eval`, or use TraceStore(path, create=True), to make one"
            )
        try:
            if create:
                make_private(self.path)
            self.connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise TraceError(f"{path} cannot be opened ({error}); give a file that can be written") from error
        try:
            prepare(self.connection, str(path), create=create)
            with reading(self.path, "its list of tables"):
                self.connection.execute("PRAGMA synchronous = FULL")  # so that data survives a power cut, too
                self.connection.execute("PRAGMA foreign_keys = ON")
            self._opened = identity_of(self.path)
        except BaseException:
            self.connection.close()
            raise

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    def reopened(self) -> SQLiteDatabase:
        """Open the same file once more."""
        return SQLiteDatabase(self.path, create=False, timeout=self._timeout)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def delete(self) -> None:
        """Delete the file, and close it. Raise ``TraceError`` if another process has it open."""
        delete(self.connection, self.path)

    def see_in_place(self) -> None:
        """Check that the file under this name is still the one that was opened. Raise ``TraceError`` if it is not."""
        see_in_place(self.path, self._opened)

    def compact(self) -> None:
        """Make the file smaller. Raise ``TraceError`` if it cannot be written, or another process is using it."""
        with writing():
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size(self) -> int:
        """Return the size in bytes of the file and of its write-ahead log, where SQLite puts the latest writes."""
        self.see_in_place()
        log = self.path.with_name(f"{self.path.name}-wal")
        return self.path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def text_of(self, value: Any) -> str | None:
        """Return the value as text that UTF-8 can hold."""
        return text_of(value)

    def write(self, work: Callable[[], T], *, alone: bool = True) -> T:
        """Do some work in one transaction. In SQLite a writer is always alone."""
        self.see_in_place()
        with transaction(self.connection):
            done = work()
        self.see_in_place()
        return done

    def read(self, what: str, work: Callable[[], T]) -> T:
        """Do some reading, which sees the file as it is at one moment."""
        with reading(self.path, what):
            inside = self.connection.in_transaction  # of ``write``
            if not inside:
                self.connection.execute("BEGIN")
            try:
                return work()
            finally:
                if not inside:
                    self.connection.rollback()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a query."""
        return self.connection.execute(query, values).fetchall()

    def change(self, query: str, values: Sequence[Any] = ()) -> int:
        """Run a statement that changes rows. Return how many it changed."""
        return self.connection.execute(query, values).rowcount

    def change_many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement that changes rows once for each of several values."""
        self.connection.executemany(query, rows)

    def insert(self, table: str, row: Mapping[str, Any]) -> int | None:
        """Insert a row. Return its ``id``, or ``None`` if its key is there already."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        query = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        done = self.connection.execute(query, tuple(row.values()))
        return done.lastrowid if done.rowcount else None
