"""The definitions of the tables of a trace file.

A file holds one run, or recorded selections, or both. The table ``run`` has the settings of the run, and ``tasks`` its
tasks. ``selections`` has one row per recorded selection. ``rollouts`` has one row per finished rollout, of a task or of
a selection; ``calls`` has its LLM calls, and ``timelines`` the per-token signals of each call. A rollout is written
with its calls and timelines in one transaction. Rows are never changed, but a whole rollout can be deleted. One
exception: the questions of tasks are added when the run of an older file is continued.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from ec_agent.numbers.call_fields import LISTS_OF_A_CALL, PLAIN_FIELDS
from ec_agent.numbers.trajectory import Call
from ec_agent.support.from_plain import PlainField

_TYPES = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT"}


def _columns_of_a_call() -> str:
    """Return the definitions of the columns of ``calls``: one for each field of ``Call`` except signals, in its order.

    Lists are stored as JSON.
    """
    plain = {each.name: _column(each) for each in PLAIN_FIELDS}
    columns = {**dict.fromkeys(LISTS_OF_A_CALL, "TEXT"), **plain}
    return ",\n    ".join(f"{each.name} {columns[each.name]}" for each in fields(Call) if each.name in columns)


def _column(field: PlainField) -> str:
    kind = _TYPES[field.kind]
    if field.optional:
        return kind
    # SQLite demands a default if a column is added to a table that has rows, and a migration does that.
    return f"{kind} NOT NULL" if field.default is None else f"{kind} NOT NULL DEFAULT {_literal(field.default)}"


def _literal(value: str | float) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value + 0)


_TEXT = f"""
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
    rollout INTEGER NOT NULL REFERENCES rollouts,
    place   INTEGER NOT NULL,   -- in call-start order
    {_columns_of_a_call()},
    PRIMARY KEY (rollout, place)
) WITHOUT ROWID;
CREATE TABLE timelines (
    rollout INTEGER NOT NULL,
    place   INTEGER NOT NULL,
    signal  TEXT NOT NULL,            -- a name of ec_agent.numbers.signals.SIGNALS
    data    BLOB NOT NULL,            -- little-endian float32, one a generated token, NaN where there is none
    PRIMARY KEY (rollout, place, signal),
    FOREIGN KEY (rollout, place) REFERENCES calls
) WITHOUT ROWID
"""

TABLES: Mapping[str, str] = {
    # SQLite stores the text of these statements in the file, and reads it at each opening. Without extra spaces, it
    # fits on the first page.
    statement.split()[2]: re.sub(" {2,}", " ", statement)
    for statement in _TEXT.strip().split(";\n")
}
"""Maps the name of each table to the SQL that creates it."""
