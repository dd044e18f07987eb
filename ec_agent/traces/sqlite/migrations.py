"""From the tables of an older version to those of the next, one step a version.

A step runs inside a transaction in which foreign keys are not enforced; they are checked at its end. ``docs/traces.md``
says what each version has. A step is never changed once it was released: files that it made are out there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

_NEW_ROLLOUTS = """
CREATE TABLE rollouts_2 (
    id               INTEGER PRIMARY KEY,
    task             TEXT REFERENCES tasks,
    selection        INTEGER REFERENCES selections,
    kind             TEXT NOT NULL CHECK (kind IN ('sample', 'greedy')),
    number           INTEGER NOT NULL,
    seed             INTEGER,
    sampling         TEXT NOT NULL,
    unsampled_calls  INTEGER NOT NULL,
    started          REAL NOT NULL,
    seconds          REAL NOT NULL,
    error            TEXT,
    verdict          REAL,
    final_action     TEXT NOT NULL,
    model_calls      INTEGER NOT NULL,
    tool_calls       INTEGER NOT NULL,
    prompt_tokens    INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL,
    UNIQUE (task, kind, number),
    UNIQUE (selection, kind, number),
    CHECK ((task IS NULL) <> (selection IS NULL))
)
"""


def _recorded_selections(connection: sqlite3.Connection) -> None:
    """1 to 2: selections outside an evaluation; their rollouts have no task, and nobody judged them."""
    connection.execute(
        "CREATE TABLE selections (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, recorded REAL NOT NULL, "
        "receipt TEXT NOT NULL)"
    )
    connection.execute(_NEW_ROLLOUTS)
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(rollouts)")]
    kept = ", ".join(columns)
    connection.execute(f"INSERT INTO rollouts_2 ({kept}) SELECT {kept} FROM rollouts")
    connection.execute("DROP TABLE rollouts")
    connection.execute("ALTER TABLE rollouts_2 RENAME TO rollouts")


def _tools_and_candidates(connection: sqlite3.Connection) -> None:
    """2 to 3: what a picture shows besides: tools between the calls, the tokens' candidates."""
    for column in ("tools", "candidates"):
        connection.execute(f"ALTER TABLE calls ADD COLUMN {column} TEXT")


def _answers_from_caches(connection: sqlite3.Connection) -> None:
    """3 to 4: answers that an LLM cache gave cost nothing, and are counted apart."""
    connection.execute("ALTER TABLE rollouts ADD COLUMN cached_answer_tokens INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE calls ADD COLUMN from_cache INTEGER NOT NULL DEFAULT 0")


def _places_in_doubt(connection: sqlite3.Connection) -> None:
    """4 to 5: how many tokens without logprobs may be elsewhere in their call."""
    connection.execute("ALTER TABLE calls ADD COLUMN unplaced INTEGER NOT NULL DEFAULT 0")


def _other_answers(connection: sqlite3.Connection) -> None:
    """5 to 6: tokens of other answers to the same request, which are on the bill and on no timeline."""
    connection.execute("ALTER TABLE calls ADD COLUMN beside INTEGER NOT NULL DEFAULT 0")


def _questions(connection: sqlite3.Connection) -> None:
    """6 to 7: what each task asks, and the answer that is right, for the report."""
    for column in ("question", "expected"):
        connection.execute(f"ALTER TABLE tasks ADD COLUMN {column} TEXT")


STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {
    1: _recorded_selections,
    2: _tools_and_candidates,
    3: _answers_from_caches,
    4: _places_in_doubt,
    5: _other_answers,
    6: _questions,
}
"""Version of a file -> what makes it one of the next version."""
