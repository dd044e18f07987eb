#!/usr/bin/env bash
# Guess: interrupt_before= of invoke() means what it means for compile(): a name that no node has is refused, and
#   "*" is every node, those of subgraphs too.
# So it is: compile() refuses an unknown name; invoke() takes it and pauses nowhere. Neither the name of a
#   subgraph's node nor "*" reaches into a subgraph: "*" pauses before it, and then it runs through.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  langgraph==1.2.24 \
  langgraph-checkpoint==4.3.2 \
  langgraph-prebuilt==1.1.3 \
  langgraph-sdk==0.4.14 \
  langchain-core==1.8.3
unset LANGGRAPH_DEFAULT_RECURSION_LIMIT
export LANGSMITH_TRACING=false
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import sys
from importlib.metadata import version

packages = "langgraph langgraph-checkpoint langgraph-prebuilt langgraph-sdk langchain-core"
print("Version:", ", ".join(f"{name} {version(name)}" for name in packages.split()))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


import operator
from typing import Annotated, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    log: Annotated[list, operator.add]


inner = StateGraph(State)
inner.add_node("x", lambda state: {"log": ["x"]})
inner.add_node("y", lambda state: {"log": ["y"]})
inner.add_edge(START, "x")
inner.add_edge("x", "y")
outer = StateGraph(State)
outer.add_node("inner", inner.compile())
outer.add_edge(START, "inner")

try:
    outer.compile(interrupt_before=["typo"])
    refused = None
except ValueError as error:
    refused = str(error)
seen('compile(interrupt_before=["typo"])', refused, is_now=refused == "Interrupt node `typo` not found")


def stops(breakpoints):
    """How far the log is at each stop."""
    graph, config = outer.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    logs = [graph.invoke({"log": []}, config, interrupt_before=breakpoints)["log"]]
    while graph.get_state(config).next:
        logs.append(graph.invoke(None, config, interrupt_before=breakpoints)["log"])
    return logs


for breakpoints, expected in ((["typo"], [["x", "y"]]), (["y"], [["x", "y"]]), ("*", [[], ["x", "y"]])):
    logs = stops(breakpoints)
    seen(f"invoke(interrupt_before={breakpoints!r}): the log at each stop", logs, is_now=logs == expected)
PYTHON
