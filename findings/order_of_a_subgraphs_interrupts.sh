#!/usr/bin/env bash
# Guess: interrupts that parallel nodes of a subgraph raised are listed in one order, as those of a graph alone are:
#   that of the nodes, or that in which they were raised. A page may number them, or answer them with a list.
# So it is: a graph alone lists them in order; of a subgraph the same program lists them in another order each time,
#   in the result of invoke() and in get_state(), though the nodes here ask one after the other. Only the ids, or
#   the values, tell them apart.
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


import time
from collections import Counter
from typing import TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    x: int


def asking(name, after):
    def node(state):
        time.sleep(after)
        interrupt(name)

    return node


def four(checkpointer=None):
    builder = StateGraph(State)
    for number, name in enumerate("abcd"):
        builder.add_node(name, asking(name, number * 0.1))
        builder.add_edge(START, name)
    return builder.compile(checkpointer=checkpointer)


def orders(make):
    returned, kept = Counter(), Counter()
    for number in range(20):
        graph, config = make(), {"configurable": {"thread_id": str(number)}}
        result = graph.invoke({"x": 0}, config)
        returned["".join(each.value for each in result["__interrupt__"])] += 1
        kept["".join(each.value for each in graph.get_state(config).interrupts)] += 1
    return dict(returned), dict(kept)


def nested():
    builder = StateGraph(State)
    builder.add_node("inner", four())
    builder.add_edge(START, "inner")
    return builder.compile(checkpointer=InMemorySaver())


_, alone = orders(lambda: four(InMemorySaver()))
seen("the graph alone, 20 runs, get_state()", alone, is_now=alone == {"abcd": 20})
returned, kept = orders(nested)
seen("as a subgraph, 20 runs, invoke()", returned, is_now=len(returned) > 1)
seen("as a subgraph, 20 runs, get_state()", kept, is_now=len(kept) > 1)
PYTHON
