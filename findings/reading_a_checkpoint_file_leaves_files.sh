#!/usr/bin/env bash
# Guess: whoever opens the file of a SqliteSaver read-only (mode=ro) and only reads it leaves no trace beside it, once
#   the program that wrote it has closed it.
# So it is: the saver keeps its file in WAL mode, also when it is closed. A reader with mode=ro makes the files -wal and
#   -shm beside it (as root or owner of the folder) and, being read-only, cannot take them away: they stay. With
#   immutable=1 none is made.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  langgraph==1.2.24 \
  langgraph-checkpoint==4.3.2 \
  langgraph-checkpoint-sqlite==3.1.2
export LANGSMITH_TRACING=false
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - "$folder" <<'PYTHON'
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

print("Version:", ", ".join(f"{name} {version(name)}" for name in ("langgraph", "langgraph-checkpoint-sqlite")))
print("Version: SQLite", sqlite3.sqlite_version)


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph


class State(TypedDict):
    x: int


file = Path(sys.argv[1], "made", "checkpoints.db")
file.parent.mkdir()
with SqliteSaver.from_conn_string(str(file)) as saver:
    builder = StateGraph(State)
    builder.add_node("node", lambda state: {"x": 1})
    builder.add_edge(START, "node")
    builder.compile(checkpointer=saver).invoke({"x": 0}, {"configurable": {"thread_id": "one"}})


def left_by(mode):
    reader = sqlite3.connect(f"{file.as_uri()}?{mode}", uri=True)
    (count,) = reader.execute("SELECT count(*) FROM checkpoints").fetchone()
    reader.close()
    left = sorted(each.name for each in file.parent.iterdir())
    return count, left


names = sorted(each.name for each in file.parent.iterdir())
seen("files after the saver was closed", names, is_now=names == ["checkpoints.db"])
count, names = left_by("mode=ro&immutable=1")
seen(f"files after {count} rows were counted, immutable=1", names, is_now=names == ["checkpoints.db"])
count, names = left_by("mode=ro")
left = ["checkpoints.db", "checkpoints.db-shm", "checkpoints.db-wal"]
seen(f"files after {count} rows were counted, mode=ro", names, is_now=names == left)
PYTHON
