"""The interface of a SQL database that a trace store keeps its rows in, and how one is opened.

Queries are SQL that SQLite and PostgreSQL both understand, with ``?`` for each value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from ec_agent.traces.places import is_url

T = TypeVar("T")

Row = tuple[Any, ...]


class Database(Protocol):
    """An open database with the tables of a trace store.

    Attributes:
        IDS: a SQL query: the whole numbers in a JSON list that is given as one value.
        TEXTS: a SQL query: the texts in such a list.
    """

    IDS: str
    TEXTS: str

    @property
    def name(self) -> str:
        """The name of the store in messages, without a password."""
        ...

    def reopened(self) -> Self:
        """Open the same database once more, for use in another thread."""
        ...

    def close(self) -> None:
        """Close it. Closing it twice is no error."""
        ...

    def delete(self) -> None:
        """Delete the tables and close the database. Raise ``TraceError`` if somebody else has the store open."""
        ...

    def see_in_place(self) -> None:
        """Check that the store still exists under its name. Raise ``TraceError`` if it does not, or was replaced."""
        ...

    def compact(self) -> None:
        """Give the disk space of deleted rows back to the system."""
        ...

    def size(self) -> int:
        """Return how much disk space the store takes, in bytes."""
        ...

    def text_of(self, value: Any) -> str | None:
        """Return the value as text that the database can hold, or ``None`` for ``None``."""
        ...

    def write(self, work: Callable[[], T], *, alone: bool = True) -> T:
        """Do some work in one transaction: either everything is written, or nothing. Return what the work returned.

        The work may be done again if the database was lost before it was written, so it must change nothing else.

        Args:
            work: calls ``rows``, ``change``, ``change_many`` and ``insert``.
            alone: whether nobody else may write meanwhile. Without, several processes may add rows at once.

        Raises:
            TraceError: nothing was written, or nobody knows; the message says which, and what to do.
        """
        ...

    def read(self, what: str, work: Callable[[], T]) -> T:
        """Do some reading, which sees the store as it is at one moment. Return what the work returned.

        Args:
            what: what is being read, for the error, such as ``rollout 12``.
            work: calls ``rows``.

        Raises:
            TraceError: the database cannot be read, or the rows are not what ec_agent writes.
        """
        ...

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a query. Only inside ``read`` and ``write``, as the methods below."""
        ...

    def change(self, query: str, values: Sequence[Any] = ()) -> int:
        """Run a statement that changes rows. Return how many it changed."""
        ...

    def change_many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement that changes rows once for each of several values."""
        ...

    def insert(self, table: str, row: Mapping[str, Any]) -> int | None:
        """Insert a row into a table that numbers its rows. Return its ``id``, or ``None`` if its key is there."""
        ...


def open_database(place: str | Path, *, create: bool, timeout: float) -> Database:
    """Open the database that a place names; ``TraceStore`` says what the arguments mean."""
    if is_url(place):
        from ec_agent.traces.postgres import open_postgres

        return open_postgres(str(place), create=create, timeout=timeout)
    from ec_agent.traces.sqlite.database import SQLiteDatabase

    return SQLiteDatabase(place, create=create, timeout=timeout)
