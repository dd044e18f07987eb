"""SQL stands in the rooms of what keeps its things in a database, and nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import ec_agent

HOUSE = Path(ec_agent.__file__).parent
ROOMS = {  # what may speak SQL, and of what
    "traces/sql/": "stores of traces: what is the same in all databases",
    "traces/sqlite/": "stores of traces in SQLite files",
    "traces/postgres/": "stores of traces in PostgreSQL",
    "logs/spool.py": "calls of logs in any order wait in a temporary file",
    "logs/sqlite_files.py": "logs in a SQLite file, by the names of its tables",
    "logs/checkpoints.py": "the checkpoints of LangGraph, as a log",
    "logs/spans.py": "spans that MLflow keeps in its database",
    "logs/llm.py": "the log of the program llm",
    "commits/journal.py": "the journal of commits in a file",
    "commits/listing.py": "the rollouts' claims, in a file beside the journal",
    "environments/sqlite.py": "agents whose world is a SQLite database",
}
DRIVERS = {"sqlite3", "aiosqlite", "psycopg", "psycopg2", "asyncpg", "sqlalchemy", "duckdb"}
SQL = re.compile(
    r"\bSELECT\b.*\bFROM\b|\bINSERT (OR \w+ )?INTO\b|\bDELETE FROM\b|\bUPDATE\b.*\bSET\b|\b(CREATE|ALTER|DROP) TABLE\b|"
    r"\bCREATE INDEX\b|\bPRAGMA \w|\bVACUUM\b|\bBEGIN (IMMEDIATE|EXCLUSIVE)\b|\bIS (NOT )?NULL\b|\bWHERE \w+|"
    r"\bIN \(|\w+ (=|!=|<|>|LIKE) \?|\bORDER BY\b",
    re.DOTALL,
)


def sql_in(source: str) -> list[str]:
    """The drivers that a module imports, and its texts that are SQL; docstrings are for readers."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name.split(".")[0] in DRIVERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in DRIVERS:
            found.append(str(node.module))
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
            found += [text] if SQL.search(text) else []
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | parts:
            found += [node.value] if SQL.search(node.value) else []
    return found


def is_in(file: str, room: str) -> bool:
    return file.startswith(room) if room.endswith("/") else file == room


FILES = {path.relative_to(HOUSE).as_posix(): path for path in sorted(HOUSE.rglob("*.py"))}


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_that_may_have_sql_has_some(room):
    assert any(sql_in(path.read_text(encoding="utf-8")) for file, path in FILES.items() if is_in(file, room))


def test_no_sql_stands_outside_its_rooms():
    elsewhere = {
        file: found
        for file, path in FILES.items()
        if not any(is_in(file, room) for room in ROOMS)
        if (found := sql_in(path.read_text(encoding="utf-8")))
    }
    assert elsewhere == {}


@pytest.mark.parametrize(
    "source",
    [
        "import sqlite3",
        "def f():\n    from sqlite3 import connect",
        'store.forget("selection IS NOT NULL")',
        'store.forget("number != ?", (1,))',
        'x = f"SELECT {names} FROM rollouts"',
        "y = '''\nCREATE TABLE run (\n  name TEXT\n)'''",
        'connection.execute("PRAGMA user_version")',
    ],
)
def test_sql_is_seen(source):
    assert sql_in(source)


@pytest.mark.parametrize(
    "source", ['"""SELECT x FROM y: what another room does."""', 'print("select a task from those")']
)
def test_prose_is_no_sql(source):
    assert sql_in(source) == []


def test_the_other_rooms_of_traces_do_not_import_the_store_s():
    """Everything asks ``open_store`` and the protocol; only what opens a store knows which kinds there are."""
    knows = {
        file
        for file, path in FILES.items()
        if not file.startswith(("traces/sql/", "traces/sqlite/", "traces/postgres/"))
        if re.search(r"ec_agent\.traces\.(sql|postgres)|traces import (sql|postgres)", path.read_text(encoding="utf-8"))
    }
    assert knows == {"traces/opening.py"}
