"""List every commit in a file: a ``SQLiteJournal``, or the database of a SQLite checkpointer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ec_agent.commits.journal import Entry, Journal, SQLiteJournal
from ec_agent.commits.runlog import STEP, UNCERTAIN, status_of
from ec_agent.commits.saver_journal import IN_SAVER, SaverJournal, entries_of
from ec_agent.errors import ConfigError, EcAgentError, JournalError

_TIMEOUT = 10.0  # seconds to wait for a run that holds the file's write lock
_SHORTEST = 6  # characters: a shorter prefix of a key would too easily match the wrong commit


@dataclass(frozen=True, slots=True)
class Commit:
    """One action that was begun.

    Attributes:
        key: the idempotency key; empty where an earlier version of ec_agent began the action in a checkpointer.
        tool: the tool's name.
        args: the tool's arguments, as text.
        at: when its latest attempt began, Unix seconds.
        status: ``"open"`` or ``"raised"`` where nobody knows whether it was done; else ``"done"``, ``"handed over"``
            (done, and it sent the run to another agent), ``"paused"`` (it asks a person first), ``"not done"``
            or ``"closed"`` (it may not be begun any more: another run acted in its place).
        said: the tool's result, or the error it raised; ``None`` where it is open.
        thread: the thread in which the action was begun; ``None`` in a ``SQLiteJournal``, which has no threads.
    """

    key: str
    tool: str
    args: str
    at: float
    status: str
    said: str | None
    thread: str | None

    @property
    def uncertain(self) -> bool:
        """Whether a person has to find out if the action took effect."""
        return self.status in UNCERTAIN


class Ledger:
    """The commits in a file, to be listed and settled.

    Args:
        path: the file of a ``SQLiteJournal``, or the database of a SQLite checkpointer.

    Raises:
        ConfigError: there is no such file, or the file is neither of the two.
        JournalError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise ConfigError(f"there is no file {path}; give a SQLiteJournal, or a SQLite checkpointer's database")
        with self._reading() as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        self._own, self._saved = "commits" in tables, {"checkpoints", "writes"} <= tables
        if not self._own and not self._saved:
            raise ConfigError(
                f"{path} is neither a journal of commits nor the database of a SQLite checkpointer; give the file of "
                "SQLiteJournal(...) or of SqliteSaver"
            )

    def commits(self) -> list[Commit]:
        """Return all commits, in the order in which they were begun.

        Raises:
            JournalError: the file cannot be read.
        """
        found = [*(self._of_journal() if self._own else ()), *(self._of_saver() if self._saved else ())]
        return sorted(found, key=lambda commit: commit.at)

    def find(self, key: str) -> Commit:
        """Return the commit with this key. The first characters of a key are enough where no other key begins so.

        Raises:
            ConfigError: no commit has such a key, or several have.
        """
        every = self.commits()
        found = [each for each in every if each.key == key]
        if not found and len(key) >= _SHORTEST:
            found = [each for each in every if each.key.startswith(key)]
        if len(found) != 1:
            what = "no commit has" if not found else f"{len(found)} commits have"
            raise ConfigError(f"{what} the key {key!r} in {self.path}; `ec-agent commits ls --all` lists those it has")
        return found[0]

    @contextmanager
    def journal(self, thread: str | None) -> Iterator[Journal]:
        """Open the journal that holds the commits of this thread.

        Raises:
            JournalError: the file cannot be used.
        """
        if thread is None:
            yield SQLiteJournal(self.path, timeout=_TIMEOUT)
            return
        with self._said(), closing(sqlite3.connect(self.path, timeout=_TIMEOUT, check_same_thread=False)) as connection:
            yield SaverJournal(_saver(connection), thread)

    def _of_journal(self) -> Iterator[Commit]:
        journal = SQLiteJournal(self.path, timeout=_TIMEOUT)
        for key in journal.keys():  # noqa: SIM118  # no dict
            yield from _commit(journal.read(key), None, key)

    def _of_saver(self) -> Iterator[Commit]:
        query = "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints WHERE checkpoint_ns LIKE ?"
        names = ("thread_id", "checkpoint_ns", "checkpoint_id")
        with self._reading() as connection:
            saver = _saver(connection)
            for row in connection.execute(query, (f"{IN_SAVER}%",)).fetchall():
                found = saver.get_tuple({"configurable": dict(zip(names, row, strict=True))})
                yield from _commit(entries_of(found), row[0], "")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        with (
            self._said(),
            closing(sqlite3.connect(address, uri=True, timeout=_TIMEOUT, check_same_thread=False)) as connection,
        ):
            yield connection

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except EcAgentError:
            raise
        except Exception as error:  # any kind: SQLite's, or that of the serializer that reads its rows
            raise JournalError(
                f"{self.path} cannot be read ({type(error).__name__}: {error}); check that the file is complete, and "
                "that no other process holds it"
            ) from error


def _commit(entries: list[Entry], thread: str | None, key: str) -> Iterator[Commit]:
    if not entries or STEP in entries[-1].intent:
        return
    intent, outcome = entries[-1].intent, entries[-1].outcome or {}
    value = outcome.get("value")
    said = None if value is None else str(getattr(value, "content", value))
    key = key or str(entries[0].intent.get("key") or "")
    yield Commit(key, intent["tool"], intent["args"], intent["at"], status_of(entries[-1]), said, thread)


def _saver(connection: sqlite3.Connection) -> Any:
    try:
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ImportError as error:
        raise ConfigError("a checkpointer's database needs: pip install langgraph-checkpoint-sqlite") from error
    saver = SqliteSaver(connection)
    saver.is_setup = True  # or else it would create its tables: listing commits must not change the file
    return saver
