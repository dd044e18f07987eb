"""Reads SQLite files of other tools. Nothing is written to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from ec_agent.errors import LogprobsError
from ec_agent.logs.source import Source
from ec_agent.traces import opening

_WAL = 19  # the byte of the header that is 2 in WAL mode
_DAMAGED = (sqlite3.Error, OverflowError, UnicodeError)


def is_sqlite(source: Source) -> bool:
    """Tell whether a file is a SQLite database."""
    return opening.is_sqlite(source.head(opening.LONGEST_HEAD))


@dataclass(frozen=True, slots=True)
class OtherDatabase:
    """An open SQLite file of another tool.

    Attributes:
        connection: the connection to it, read-only.
        label: name of the file in messages.
    """

    connection: sqlite3.Connection
    label: str

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Raises:
            LogprobsError: the file is damaged, or has a value larger than the bound for a record.
        """
        try:
            yield from self.connection.execute(query, parameters)
        except _DAMAGED as error:
            raise _unread(self.label, error) from error

    def tables(self) -> dict[str, set[str]]:
        """Return the columns of each table by its name. Views, which may compute anything, are left out."""
        names = [str(name) for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = "SELECT name FROM pragma_table_info(?)"
        return {name: {str(column) for (column,) in self.rows(columns, (name,))} for name in names}


@contextmanager
def database(source: Source) -> Iterator[OtherDatabase]:
    """Open a SQLite file.

    Raises:
        LogprobsError: it cannot be opened.
    """
    try:
        connection = _opened(source)
    except _DAMAGED as error:
        raise _unread(source.label, error) from error
    with closing(connection):
        yield OtherDatabase(connection, source.label)


def tables_of(source: Source) -> dict[str, set[str]]:
    """Return the columns of each table of a file by its name; empty if the file is no SQLite database."""
    if not is_sqlite(source):
        return {}
    with database(source) as file:
        return file.tables()


def _unread(label: str, error: Exception) -> LogprobsError:
    hint = "if a value is too big, give a larger --max-record; else copy the database with `sqlite3 FILE .recover`"
    return LogprobsError(f"{label} is a SQLite file that cannot be read ({error}); {hint}")


def _opened(source: Source) -> sqlite3.Connection:
    # If the -wal file of a database in WAL mode is not there, nobody has it open. Untold, SQLite makes that file.
    closed = source.head(_WAL + 1)[_WAL:] == b"\x02" and not source.path.with_name(f"{source.path.name}-wal").exists()
    path = f"{source.path.absolute().as_uri()}?mode=ro{'&immutable=1' if closed else ''}"
    connection = sqlite3.connect(path, uri=True)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(source.bounds.most, 1 << 30))
    except sqlite3.Error:
        connection.close()
        raise
    return connection
