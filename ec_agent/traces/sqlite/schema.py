"""The tables of a trace file, and whether a file has them.

A file holds one run, ``run`` its settings and ``tasks`` what it asks; or ``selections`` that were recorded; or both.
``rollouts`` is what came of a task or a selection, one row a finished rollout; ``calls`` the rollout's LLM calls, and
``timelines`` the per-token signals of each call. Rows are written once and never changed, a rollout with its calls and
timelines in one transaction; they can be taken out again, whole. A task's question is filled in where the run of an
older file goes on.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ec_agent.errors import TraceError
from ec_agent.traces.sqlite.migrations import STEPS
from ec_agent.traces.stored import VERSION

APPLICATION = 0x45434147  # "ECAG": tells our files from other SQLite files

TABLES = """
CREATE TABLE run (
    name  TEXT PRIMARY KEY,   -- of a setting
    value TEXT NOT NULL       -- JSON
) WITHOUT ROWID;
CREATE TABLE tasks (
    task        TEXT PRIMARY KEY,
    place       INTEGER NOT NULL,   -- in the order of the task file
    fingerprint TEXT NOT NULL,      -- of what it asks
    question    TEXT,               -- NULL where not known
    expected    TEXT
) WITHOUT ROWID;
CREATE TABLE selections (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,   -- not reused
    name     TEXT,                                -- what it was called
    recorded REAL NOT NULL,                       -- seconds since the epoch
    receipt  TEXT NOT NULL                        -- JSON: Selection.to_dict()
);
CREATE TABLE rollouts (
    id               INTEGER PRIMARY KEY,
    task             TEXT REFERENCES tasks,           -- one of these two: a run's rollout has a task,
    selection        INTEGER REFERENCES selections,   -- a recorded candidate a selection
    kind             TEXT NOT NULL CHECK (kind IN ('sample', 'greedy')),
    number           INTEGER NOT NULL,     -- index among its rollouts of that kind, from 0
    seed             INTEGER,              -- NULL where none was given
    sampling         TEXT NOT NULL,        -- JSON: the request parameters asked for
    unsampled_calls  INTEGER NOT NULL,     -- calls to which they could not be applied
    started          REAL NOT NULL,        -- seconds since the epoch
    seconds          REAL NOT NULL,
    error            TEXT,                 -- what it failed with; NULL where it ended
    verdict          REAL,                 -- 0 to 1; 0 where it failed; NULL where nobody judged
    final_action     TEXT NOT NULL,        -- JSON
    model_calls      INTEGER NOT NULL,
    tool_calls       INTEGER NOT NULL,
    prompt_tokens    INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL,
    cached_answer_tokens INTEGER NOT NULL DEFAULT 0,   -- of answers of an LLM cache: they cost nothing
    UNIQUE (task, kind, number),
    UNIQUE (selection, kind, number),
    CHECK ((task IS NULL) <> (selection IS NULL))
);
CREATE TABLE calls (
    rollout       INTEGER NOT NULL REFERENCES rollouts,
    place         INTEGER NOT NULL,   -- in call-start order
    tokens        INTEGER,            -- generated; NULL where unknown
    model         TEXT,
    node          TEXT,
    started       REAL,
    ended         REAL,
    prompt_tokens INTEGER,
    cached_tokens INTEGER,
    capability    TEXT NOT NULL,      -- 'full', 'sampled' or 'none'
    partial       INTEGER NOT NULL,
    constrained   INTEGER NOT NULL,
    texts         TEXT,               -- JSON list of token texts
    tools         TEXT,               -- JSON: tools run after it and before the next; class ToolUse
    candidates    TEXT,               -- JSON: per token its likeliest, text and probability; NULL where not kept
    from_cache    INTEGER NOT NULL DEFAULT 0,   -- an LLM cache answered, and no model
    unplaced      INTEGER NOT NULL DEFAULT 0,   -- tokens without logprobs that may be elsewhere in the call
    beside        INTEGER NOT NULL DEFAULT 0,   -- tokens of other answers to the same request
    PRIMARY KEY (rollout, place)
) WITHOUT ROWID;
CREATE TABLE timelines (
    rollout INTEGER NOT NULL,
    place   INTEGER NOT NULL,
    signal  TEXT NOT NULL,            -- a name of ec_agent.numbers.signals.SIGNALS
    data    BLOB NOT NULL,            -- little-endian float32, one a generated token, NaN where there is none
    PRIMARY KEY (rollout, place, signal),
    FOREIGN KEY (rollout, place) REFERENCES calls
) WITHOUT ROWID;
"""


def prepare(connection: sqlite3.Connection, path: str, *, create: bool) -> None:
    """See that the file has our tables, of this version: make them in a new file, bring those of an older one up.

    Args:
        connection: in autocommit mode (``isolation_level=None``).
        path: what the file is called in errors.
        create: whether the file may be new.

    Raises:
        TraceError: the file is something else, of a newer version, or of an older one that cannot be written.
    """
    try:
        connection.execute("PRAGMA foreign_keys = OFF")  # a migration makes tables anew that others refer to
        if create:
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):  # of several processes that begin at once, one makes the tables
                if not _number(connection, "schema_version"):
                    _make(connection)
        application = _number(connection, "application_id")
    except sqlite3.OperationalError as error:
        raise TraceError(f"{path} cannot be read ({error}); see to its rights and to who else uses it") from error
    except sqlite3.DatabaseError as error:
        raise TraceError(f"{path} is no trace file ({error}); give {_OURS}") from error
    if application != APPLICATION:
        what = "a database, but no trace file" if _number(connection, "schema_version") else "empty"
        raise TraceError(f"{path} is {what}; give {_OURS}")
    if (version := _number(connection, "user_version")) != VERSION:
        _migrate(connection, path, version)


_RESTORE = "restore it from a copy, or give another file"
_OURS = "one that `ec-agent eval` or TraceStore.record wrote"


def _make(connection: sqlite3.Connection) -> None:
    for statement in TABLES.split(";\n"):
        # A file keeps the text: without the columns' layout it fits on the first page, which is read with each opening.
        connection.execute(re.sub(" {2,}", " ", statement))
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _migrate(connection: sqlite3.Connection, path: str, version: int) -> None:
    if version > VERSION or version not in STEPS:
        better = "update ec_agent" if version > VERSION else "run the evaluation into a new file"
        raise TraceError(f"{path} has tables of version {version}, this ec_agent writes version {VERSION}; {better}")
    with transaction(connection):  # all steps or none: a kill leaves the old file
        # Read again: another process may have been faster.
        for step in range(_number(connection, "user_version"), VERSION):
            STEPS[step](connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise TraceError(f"{path} cannot be brought to version {VERSION}: rows are missing; restore it from a copy")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. The write lock is taken at the start, so what is read inside cannot change under it.

    Raises:
        TraceError: the file cannot be written: the disk is full, say, or another process holds it for too long.
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
    """Around what writes: a file that cannot be written is an error of ours."""
    try:
        yield
    except sqlite3.Error as error:
        if type(error) is sqlite3.DatabaseError:  # not one of its kinds: the file itself is not right
            raise TraceError(f"the trace file is damaged ({error}); {_RESTORE}") from error
        if isinstance(error, sqlite3.ProgrammingError):
            raise TraceError(
                f"nothing was stored ({error}); give what ec_agent made, to a store that is open, in its own thread"
            ) from error
        if not isinstance(error, sqlite3.OperationalError):
            raise TraceError(
                f"the trace file does not take this ({error}); see that its run was begun with this task"
            ) from error
        raise TraceError(
            f"the trace file cannot be written ({error}); see to its disk and to who else uses it, and repeat the "
            "command: what was stored is kept"
        ) from error


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
