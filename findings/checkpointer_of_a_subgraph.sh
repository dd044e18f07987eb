#!/usr/bin/env bash
# Guess: a graph or an @entrypoint compiled with a checkpointer of its own keeps its memory in it, whoever calls it:
#   as a node of another graph, called with the same thread_id, it remembers the turns before.
# So it is: as a node it forgets, with its own checkpointer as with none, whether the graph around has a
#   checkpointer or not, and nothing warns; alone it remembers. Only checkpointer=True remembers, in the
#   checkpointer of the graph around.
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


from typing import TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    turns: int


class Memory(State, total=False):
    known: int


def counting_graph(checkpointer):
    def count(state):
        return {"known": state.get("known", 0) + 1, "turns": state.get("known", 0) + 1}

    builder = StateGraph(Memory)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    return builder.compile(checkpointer=checkpointer)


def counting_entrypoint(checkpointer):
    @entrypoint(checkpointer=checkpointer)
    def count(state, *, previous=None):
        return {"turns": (previous or {"turns": 0})["turns"] + 1}

    return count


def as_node(inner, checkpointer):
    builder = StateGraph(State)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    return builder.compile(checkpointer=checkpointer)


def three_turns(graph):
    config = {"configurable": {"thread_id": "1"}}
    return [graph.invoke({"turns": 0}, config)["turns"] for _ in range(3)]


for make in (counting_graph, counting_entrypoint):
    name = make.__name__
    turns = three_turns(make(InMemorySaver()))
    seen(f"{name}, alone, its own checkpointer", turns, is_now=turns == [1, 2, 3])
    for outer in (InMemorySaver(), None):
        turns = three_turns(as_node(make(InMemorySaver()), outer))
        where = "with one" if outer else "without one"
        seen(f"{name}, its own, in a graph {where}", turns, is_now=turns == [1, 1, 1])
    turns = three_turns(as_node(make(True), InMemorySaver()))
    seen(f"{name}, checkpointer=True, in a graph with one", turns, is_now=turns == [1, 2, 3])
PYTHON
