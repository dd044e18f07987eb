"""The PostgreSQL database that a trace store keeps its rows in, and what happens if the server goes away.

The connection may be lost at any moment: the server is restarted, a network fails. It is then made again. What was
being read is read again. What was being written is written again if the server says that it was not committed; if the
connection was lost at the very commit, the server is asked by the transaction's number. So nothing is lost or stored
twice, and if nobody can tell, a ``TraceError`` says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from threading import get_ident
from typing import Any, TypeVar

import psycopg
from psycopg.types.numeric import IntLoader

from ec_agent.errors import TraceError
from ec_agent.support.from_plain import text_of
from ec_agent.traces.postgres.failures import cause_of, lost, not_opened, not_read, not_written, unreachable
from ec_agent.traces.postgres.schema import STORE, TABLES, drop, prepare, tables_in
from ec_agent.traces.postgres.url import place_at
from ec_agent.traces.sql.database import Row
from ec_agent.traces.sql.unreadable_rows import UNREADABLE, odd

T = TypeVar("T")
_Connection = psycopg.Connection[Any]

OLDEST = 13
"""The oldest version of PostgreSQL that has all that is used here."""

_ENDING = 1.0  # seconds that the server may take to end a connection that was closed; its locks last until then
_LONGEST_PAUSE = 1.0  # seconds between two attempts to reach the server
_NUMBER = "SELECT pg_current_xact_id()::text"
_SETTINGS = (
    "SELECT set_config('search_path', quote_ident(%(schema)s), false), "
    "set_config('lock_timeout', %(wait)s, false), "
    # so that data survives a crash of the server, whatever is usual there
    "CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END, "
    "current_setting('server_encoding')"
)


class PostgresDatabase:
    """An open store in a PostgreSQL database; see ``Database`` for the methods.

    While it is open it holds an advisory lock, by which ``delete`` knows that somebody has it open.

    Args:
        url: where it is.
        create: whether to make the schema and the tables if they are missing.
        timeout: seconds to wait for other processes, and for a server that went away.

    Raises:
        ConfigError: the URL cannot be read.
        TraceError: the server cannot be reached, there is no such store, or it is of a newer version.
    """

    TEXTS = "SELECT value FROM json_array_elements_text(?::json) AS value"
    IDS = "SELECT value::bigint FROM json_array_elements_text(?::json) AS value"

    def __init__(self, url: str, *, create: bool, timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._place = place_at(url)
        self._closed = self._inside = False
        self._thread = get_ident()
        self._identity: str | None = None
        try:
            self.connection = self._connected(create=create)
        except psycopg.Error as error:
            raise not_opened(error, self._place) from error

    @property
    def name(self) -> str:
        """The URL without passwords."""
        return self._place.name

    def reopened(self) -> PostgresDatabase:
        """Connect to the same store once more."""
        return PostgresDatabase(self._url, create=False, timeout=self._timeout)

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self.connection.close()

    def delete(self) -> None:
        """Delete the tables, and the schema if nothing else is in it. Raise ``TraceError`` if somebody has it open."""

        def work() -> None:
            until = time.monotonic() + _ENDING
            while not self._alone():
                if time.monotonic() > until:
                    raise TraceError(
                        f"{self.name} cannot be deleted (somebody has it open); end other processes that use it, such "
                        "as an evaluation or a report, or give another schema"
                    )
                time.sleep(_ENDING / 50)
            drop(self.connection, self._place.schema)

        try:
            self.write(work)
        finally:
            self.close()

    def _alone(self) -> bool:
        ((alone,),) = self.rows("SELECT pg_try_advisory_xact_lock(hashtextextended(?, 0))", (self._place.schema,))
        return bool(alone)

    def see_in_place(self) -> None:
        """Check that the schema has the store that was opened. Raise ``TraceError`` if it has not."""
        ((identity,),) = self.read("the store", lambda: self.rows(f"SELECT identity FROM {STORE}"))
        self._same(str(identity))

    def compact(self) -> None:
        """Give the disk space of deleted rows back. It waits for other processes for up to ``timeout`` seconds."""
        connection = self._own()
        try:
            connection.execute(f"VACUUM (FULL, ANALYZE) {', '.join(TABLES)}".encode())
        except psycopg.Error as error:
            raise not_written(error, self._place) from error

    def size(self) -> int:
        """Return the bytes of the tables with their indexes, as the server counts them."""
        named = ", ".join(f"('{table}'::regclass)" for table in TABLES)
        query = f"SELECT sum(pg_total_relation_size(each))::bigint FROM (VALUES {named}) AS tables (each)"
        ((size,),) = self.read("the size", lambda: self.rows(query))
        return int(size)

    def text_of(self, value: Any) -> str | None:
        """Return the value as text that PostgreSQL can hold: UTF-8 without the character 0, which is written out."""
        text = text_of(value)
        return None if text is None else text.replace("\0", "\\x00")

    def write(self, work: Callable[[], T], *, alone: bool = True) -> T:
        """Do some work in one transaction, and once more if the server went away before it was committed."""
        begin = f"BEGIN; {'LOCK TABLE rollouts IN SHARE ROW EXCLUSIVE MODE; ' if alone else ''}{_NUMBER}"
        until = self._until()
        while True:
            connection, number, committing = self._own(until), None, False
            self._inside = True
            try:
                number = _last(connection.execute(begin.encode()))
                done = work()
                committing = True
                connection.execute("COMMIT")
            except BaseException as error:
                self._inside = False
                if isinstance(error, psycopg.Error) and lost(error, connection):
                    self._lose(connection)
                    if committing and self._was_committed(str(number), error, until):
                        return done
                    if time.monotonic() > until:
                        raise self._away(error) from error
                    continue
                self._undo(connection)
                if isinstance(error, psycopg.Error):
                    raise not_written(error, self._place) from error
                raise
            finally:
                self._inside = False
            return done

    def read(self, what: str, work: Callable[[], T]) -> T:
        """Do some reading, which sees the store as it is at one moment, and once more if the server went away."""
        until = self._until()
        while True:
            try:
                return self._read_once(work, until)
            except TraceError:
                raise
            except psycopg.Error as error:
                if self._inside:  # ``write`` begins again
                    raise
                if not lost(error, self.connection):
                    raise not_read(error, what, self._place) from error
                self._lose(self.connection)
                if time.monotonic() > until:
                    raise self._away(error) from error
            except UNREADABLE as error:
                raise odd(self.name, what, error, "store") from error

    def _read_once(self, work: Callable[[], T], until: float) -> T:
        if self._inside:
            return work()
        connection = self._own(until)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            done = work()
            connection.execute("COMMIT")
        except BaseException:
            self._undo(connection)
            raise
        return done

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a query."""
        return self.connection.execute(_marked(query), values).fetchall()

    def change(self, query: str, values: Sequence[Any] = ()) -> int:
        """Run a statement that changes rows. Return how many it changed."""
        return self.connection.execute(_marked(query), values).rowcount

    def change_many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement that changes rows once for each of several values."""
        with self.connection.cursor() as cursor:
            cursor.executemany(_marked(query), rows)

    def insert(self, table: str, row: Mapping[str, Any]) -> int | None:
        """Insert a row. Return its ``id``, or ``None`` if its key is there already."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        query = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING id"
        found = self.rows(query, tuple(row.values()))
        return found[0][0] if found else None

    # The connection

    def _connected(self, *, create: bool) -> _Connection:
        connection = psycopg.connect(**self._place.options, autocommit=True)
        try:
            if (version := connection.info.server_version // 10_000) < OLDEST:
                raise TraceError(f"{self.name} is PostgreSQL {version}; give a server of version {OLDEST} or newer")
            connection.adapters.register_loader("numeric", IntLoader)  # a sum of whole numbers
            wait = str(max(round(self._timeout * 1000), 1))  # 0 would be for ever
            row = connection.execute(_SETTINGS, {"schema": self._place.schema, "wait": wait}).fetchone()
            if row is None or row[-1] != "UTF8":
                raise TraceError(
                    f"{self.name} is a database in {row and row[-1]}, which cannot hold all texts; give one in UTF8"
                )
            connection.execute("SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", (self._place.schema,))
            self._identity = self._same(prepare(connection, self._place, create=create))
        except BaseException:
            connection.close()
            raise
        self._process = os.getpid()
        return connection

    def _same(self, identity: str) -> str:
        if self._identity not in (None, identity):
            raise TraceError(
                f"{self.name} was deleted and made anew while it was open, so new data would be in another store than "
                "the data before; make sure that nothing changes it, and repeat the command"
            )
        return identity

    def _own(self, until: float | None = None) -> _Connection:
        """Return the connection of this process; connect again if it was lost, for up to the given moment."""
        if self._closed or self._thread != get_ident():
            raise TraceError(
                f"{self.name} is closed, or was opened by another thread; use a store only while it is open and in the "
                "thread that opened it: .reopened() opens it once more"
            )
        if self.connection.closed or self._process != os.getpid():  # a forked process must not use its parent's
            self.connection = self._again(self._until() if until is None else until)
        return self.connection

    def _again(self, until: float) -> _Connection:
        pause = 0.05
        while True:
            try:
                return self._connected(create=False)
            except psycopg.Error as error:
                if time.monotonic() + pause > until:
                    raise self._away(error) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _away(self, error: psycopg.Error) -> TraceError:
        return TraceError(
            f"{self.name} went away, and is not back after {self._timeout:g} s ({cause_of(error, self._place)}); what "
            "was being written was not stored, what was stored before is kept: see that the server runs, and repeat "
            "the command"
        )

    def _until(self) -> float:
        """The moment until which a server that went away may come back: in a second at least, so that it is tried."""
        return time.monotonic() + max(self._timeout, 1.0)

    def _lose(self, connection: _Connection) -> None:
        with suppress(psycopg.Error):
            connection.close()

    def _undo(self, connection: _Connection) -> None:
        """End a transaction without effect. A connection that cannot be used any more is closed."""
        try:
            if not connection.closed:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            self._lose(connection)

    def _was_committed(self, number: str, error: BaseException, until: float) -> bool:
        """Ask the server whether a transaction was committed whose connection was lost at its end."""
        status = None
        try:
            while True:
                connection = self._own(until)
                try:
                    row = connection.execute("SELECT pg_xact_status(%s::xid8)", (number,)).fetchone()
                    status = row[0] if row else None
                except psycopg.Error as again:
                    if not lost(again, connection):
                        break
                    self._lose(connection)
                    continue
                if status != "in progress":  # the server has not noticed yet that nobody is there any more
                    break
                if time.monotonic() > until:
                    break
                time.sleep(0.05)
        except TraceError:  # it is not back
            pass
        if status in ("committed", "aborted"):
            return bool(status == "committed")
        raise TraceError(
            f"{self.name} went away while it was storing ({cause_of(error, self._place)}), and nobody knows whether "
            "what was written last is stored; see that the server runs, look with `ec-agent traces ls`, and repeat the "
            "command: an evaluation runs what is not there"
        ) from error


def holds_something(url: str) -> bool:
    """Tell whether the schema that a URL names has a table, whoever made it."""
    place = place_at(url)
    try:
        with psycopg.connect(**place.options, autocommit=True) as connection:
            return bool(tables_in(connection, place.schema))
    except psycopg.Error as error:
        raise unreachable(error, place) from error


@lru_cache(maxsize=256)
def _marked(query: str) -> bytes:
    """Write the marks for values as psycopg has them."""
    return query.replace("?", "%s").encode()


def _last(cursor: psycopg.Cursor[Any]) -> Any:
    """Return the value that the last of several statements gave."""
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    return row[0] if row else None
