#!/usr/bin/env bash
# Guess: put_writes() called again for the same task adds to the task's writes, or replaces them; and whatever it
#   does, InMemorySaver and SqliteSaver do it alike.
# So it is: writes are kept by their number in the call, and the first of a number stands: the second call's are
#   dropped in silence, another channel's too. Only special channels (resume, error, interrupt) take the new value.
#   Where one call has both kinds, InMemorySaver takes the new special value, and SqliteSaver keeps the old one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  langgraph==1.2.24 \
  langgraph-checkpoint==4.3.2 \
  langgraph-prebuilt==1.1.3 \
  langgraph-sdk==0.4.14 \
  langchain-core==1.8.3 \
  langgraph-checkpoint-sqlite==3.1.2
unset LANGGRAPH_DEFAULT_RECURSION_LIMIT
export LANGSMITH_TRACING=false
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import sys
from importlib.metadata import version

packages = "langgraph langgraph-checkpoint langgraph-prebuilt langgraph-sdk langchain-core langgraph-checkpoint-sqlite"
print("Version:", ", ".join(f"{name} {version(name)}" for name in packages.split()))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver


def kept(saver, *calls):
    config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    config = saver.put(config, empty_checkpoint(), {"source": "loop", "step": 1, "parents": {}}, {})
    for writes in calls:
        saver.put_writes(config, writes, "task")
    return {channel: value for _, channel, value in saver.get_tuple(config).pending_writes}


with SqliteSaver.from_conn_string(":memory:") as sqlite:
    savers = (InMemorySaver(), sqlite)
    for saver in savers:
        name = type(saver).__name__
        found = kept(saver, [("a", 1)], [("a", 2)])
        seen(f"{name}, a=1 and then a=2", found, is_now=found == {"a": 1})
        found = kept(saver, [("a", 1)], [("b", 2)])
        seen(f"{name}, a=1 and then b=2", found, is_now=found == {"a": 1})
        found = kept(saver, [("__resume__", 1)], [("__resume__", 2)])
        seen(f"{name}, __resume__=1 and then 2", found, is_now=found == {"__resume__": 2})
    for saver, special in zip(savers, (2, 1)):
        found = kept(saver, [("a", 1), ("__resume__", 1)], [("a", 2), ("__resume__", 2)])
        name = type(saver).__name__
        seen(f"{name}, both 1 and then both 2", found, is_now=found == {"a": 1, "__resume__": special})
PYTHON
