"""The tables of a trace file.

A file holds one run, ``run`` its settings and ``tasks`` what it asks; or ``selections`` that were recorded; or both.
``rollouts`` is what came of a task or a selection, one row a finished rollout; ``calls`` the rollout's LLM calls, and
``timelines`` the per-token signals of each call. Rows are written once and never changed, a rollout with its calls and
timelines in one transaction; they can be taken out again, whole. A task's question is filled in where the run of an
older file goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from ec_agent.numbers.plain import LISTS_OF_A_CALL, PLAIN_FIELDS, PlainField
from ec_agent.numbers.trajectory import Call

_TYPES = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT"}


def _columns_of_a_call() -> str:
    """A column for each field of ``Call`` but its signals, in its order; lists are JSON."""
    plain = {each.name: _column(each) for each in PLAIN_FIELDS}
    columns = {**dict.fromkeys(LISTS_OF_A_CALL, "TEXT"), **plain}
    return ",\n    ".join(f"{each.name} {columns[each.name]}" for each in fields(Call) if each.name in columns)


def _column(field: PlainField) -> str:
    kind = _TYPES[field.kind]
    if field.optional:
        return kind
    # SQLite asks for a default where a column is added to a table that has rows.
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
    # A file keeps the text: without the columns' layout it fits on the first page, which is read with each opening.
    statement.split()[2]: re.sub(" {2,}", " ", statement)
    for statement in _TEXT.strip().split(";\n")
}
"""Name of a table -> the SQL that makes it."""
