"""The journals: where the intent of each action is written down before it, and its outcome after it.

An intent without an outcome means that the action may have taken effect, and nobody knows. Attempts under one key come
one after the other: a new one begins only if the one before ended without effect, or with ``on_uncertain="retry"``.
A journal that cannot be read or written raises ``JournalError``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ec_agent.errors import ConfigError, JournalError
from ec_agent.support.checks import (
    file_path,
    is_folder,
    mapping,
    refusal,
    repr_of,
    seconds,
    storable,
    whole,
)
from ec_agent.support.private_files import make_private


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt at an action.

    Attributes:
        intent: what is to be done, in plain values: ``tool``, ``args``, ``at`` (Unix seconds), ``by`` (a random id of
            the claim), ``key``.
        outcome: how it ended, in plain values: ``status`` ("done", "handed over", "raised", "paused", "not done") and
            ``value``; ``None`` while it is open.
    """

    intent: dict[str, Any]
    outcome: dict[str, Any] | None = None


@runtime_checkable
class Journal(Protocol):
    """Where commits are written down. Keys are idempotency keys; attempts under a key are numbered from 0."""

    def read(self, key: str) -> list[Entry]:
        """Return all attempts under this key so far, in order."""

    def claim(self, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """Write an intent down durably. Return whether this claim won: of several, only the first may."""

    def note(self, key: str, attempt: int, outcome: dict[str, Any]) -> None:
        """Write the outcome of an attempt down."""

    async def aread(self, key: str) -> list[Entry]:
        """The async twin of ``read``."""

    async def aclaim(self, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """The async twin of ``claim``."""

    async def anote(self, key: str, attempt: int, outcome: dict[str, Any]) -> None:
        """The async twin of ``note``."""


class _Threaded:
    """Gives a journal async twins that run its methods in threads, so that files do not block the event loop."""

    async def aread(self: Any, key: str) -> list[Entry]:
        """The async twin of ``read``."""
        found: list[Entry] = await asyncio.to_thread(self.read, key)
        return found

    async def aclaim(self: Any, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """The async twin of ``claim``."""
        return bool(await asyncio.to_thread(self.claim, key, attempt, intent))

    async def anote(self: Any, key: str, attempt: int, outcome: dict[str, Any]) -> None:
        """The async twin of ``note``."""
        await asyncio.to_thread(self.note, key, attempt, outcome)


class MemoryJournal(_Threaded):
    """A journal in memory. It protects against retries in one process, and is lost when the process is killed.

    Args:
        limit: how many entries it keeps. Beyond that it drops old ones, those with a known outcome first.

    Raises:
        ConfigError: the limit is no whole number from 1.
    """

    def __init__(self, limit: int = 10_000) -> None:
        rather = "how many entries it keeps, a whole number from 1"
        self.limit = whole("the journal's limit", limit, rather=rather)
        self._entries: dict[tuple[str, int], Entry] = {}
        self._lock = threading.Lock()

    def read(self, key: str) -> list[Entry]:
        """Return all attempts under this key so far, in order."""
        check_key(key)
        with self._lock:
            return [entry for (name, _), entry in sorted(self._entries.items(), key=_in_order) if name == key]

    def claim(self, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """Write an intent down. Return whether this claim won, rather than another worker's."""
        check_entry(key, attempt, intent=intent)
        with self._lock:
            mine = self._entries.setdefault((key, attempt), Entry(intent)).intent is intent
            while len(self._entries) > self.limit:
                others = [place for place in self._entries if place != (key, attempt)]
                known = (place for place in others if self._entries[place].outcome is not None)
                # If no outcome is known, drop the oldest: its run has most likely failed, and nobody retried it.
                del self._entries[next(known, (others or [(key, attempt)])[0])]
            return mine

    def note(self, key: str, attempt: int, outcome: dict[str, Any]) -> None:
        """Write the outcome of an attempt down."""
        check_entry(key, attempt, outcome=outcome)
        with self._lock:
            found = self._entries.get((key, attempt))
            if found is None:  # dropped, for more actions run at once than it keeps: the outcome still counts
                found = Entry({"tool": "an action whose entry was dropped", "args": f"limit={self.limit}", "at": 0.0})
            self._entries[key, attempt] = Entry(found.intent, outcome)


def _in_order(item: tuple[tuple[str, int], Entry]) -> int:
    return item[0][1]


class SQLiteJournal(_Threaded):
    """A journal in a SQLite file, which is created at its first use. Several processes may use it at once.

    Args:
        path: the file; its folder must exist.
        timeout: seconds to wait for another process that is writing.

    Raises:
        ConfigError: the path is a folder or in a folder that does not exist, or the timeout is no number of seconds.
    """

    def __init__(self, path: str | Path, timeout: float = 30.0) -> None:
        self.path = file_path("the journal's path", path, "a file name")
        if is_folder(self.path) or not is_folder(self.path.parent):
            raise ConfigError(f"the journal cannot be at {repr_of(str(path))}; give a file in a folder that exists")
        self._timeout = seconds("the journal's timeout", timeout, "seconds, 0 or more", least=0)
        self._serde = JsonPlusSerializer()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with suppress(OSError):  # the connection below fails too, and SQLite's error says more
            make_private(self.path)
        try:
            with closing(sqlite3.connect(self.path, timeout=self._timeout)) as connection:
                # The intent must be on disk before the action begins: a power cut must not lose it.
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS commits (key TEXT, attempt INTEGER, intent_type TEXT, intent BLOB, "
                    "outcome_type TEXT, outcome BLOB, PRIMARY KEY (key, attempt))"
                )
                with connection:
                    yield connection
        except sqlite3.Error as error:
            raise JournalError(self._advice(error)) from error

    def _advice(self, error: Exception) -> str:
        if "locked" in str(error) or "busy" in str(error):
            what = f"another process holds it for longer than {self._timeout} s; end it, or give a longer timeout="
        else:
            what = "give another file, and keep this one: it may show which actions were done"
        return f"the journal {self.path} cannot be used ({error}); {what}"

    def read(self, key: str) -> list[Entry]:
        """Return all attempts under this key so far, in order."""
        check_key(key)
        columns = "intent_type, intent, outcome_type, outcome"
        with self._open() as connection:
            rows = connection.execute(
                f"SELECT {columns} FROM commits WHERE key = ? ORDER BY attempt", (key,)
            ).fetchall()
        return [Entry(self._loaded(it, i), self._loaded(ot, o) if ot else None) for it, i, ot, o in rows]

    def _kept(self, name: str, value: Any) -> tuple[str, bytes]:
        try:
            return self._serde.dumps_typed(value)
        except Exception as error:  # any kind: a serializer of another library may be at work on the values
            raise ConfigError(f"the {name} cannot be written down ({repr_of(error)}); give plain values") from error

    def _loaded(self, kind: str, blob: bytes) -> dict[str, Any]:
        try:
            found = self._serde.loads_typed((kind, blob))
        except Exception as error:  # any kind: reading a value may run code of another library
            raise JournalError(self._advice(error)) from error
        if not isinstance(found, dict):
            raise JournalError(self._advice(ValueError(f"an entry is {type(found).__name__}")))
        return found

    def keys(self) -> list[str]:
        """Return all keys in the journal, in the order of their first attempts."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            return [row[0] for row in connection.execute("SELECT key FROM commits GROUP BY key ORDER BY min(rowid)")]

    def claim(self, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """Write an intent down. Return whether this claim won, rather than another worker's."""
        check_entry(key, attempt, intent=intent)
        row = (key, attempt, *self._kept("intent", intent))
        with self._open() as connection:
            # Of two processes that claim an attempt, the primary key lets only one insert its row.
            sql = "INSERT OR IGNORE INTO commits (key, attempt, intent_type, intent) VALUES (?, ?, ?, ?)"
            return connection.execute(sql, row).rowcount == 1

    def note(self, key: str, attempt: int, outcome: dict[str, Any]) -> None:
        """Write the outcome of an attempt down."""
        check_entry(key, attempt, outcome=outcome)
        row = (*self._kept("outcome", outcome), key, attempt)
        with self._open() as connection:
            sql = "UPDATE commits SET outcome_type = ?, outcome = ? WHERE key = ? AND attempt = ?"
            if connection.execute(sql, row).rowcount != 1:
                raise JournalError(
                    f"the journal {self.path} no longer has attempt {attempt} of {repr_of(key)}; find out what changed "
                    "or removed the file while it was in use"
                )


def check_journal(journal: Any) -> None:
    """Refuse an argument that is neither a journal nor ``None``.

    Raises:
        ConfigError: it is neither.
    """
    if journal is not None and (isinstance(journal, type) or not isinstance(journal, Journal)):
        raise refusal("journal", journal, "SQLiteJournal('commits.sqlite'), another Journal, or None")


def check_key(key: Any) -> None:
    """Refuse an argument that is no idempotency key.

    Raises:
        ConfigError: it is not a text that can be stored.
    """
    storable("key", key, "an idempotency key, as text")


def check_entry(key: Any, attempt: Any, **said: Any) -> None:
    """Refuse arguments that cannot make an entry.

    Raises:
        ConfigError: the key is no text, the attempt no whole number from 0, or the intent or outcome no dict.
    """
    check_key(key)
    whole("attempt", attempt, 0, 1 << 31)
    for name, value in said.items():
        mapping(name, value, "a dict with plain values")
