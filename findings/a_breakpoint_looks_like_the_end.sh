#!/usr/bin/env bash
# Guess: invoke() that stops at a breakpoint (interrupt_before, interrupt_after) says so as with interrupt(), by
#   "__interrupt__" in its result; without a checkpointer to go on from, breakpoints are refused.
# So it is: the result of invoke() is the state and nothing else, so half a run looks like a whole one; without a
#   checkpointer the run just ends there. After the last node with interrupt_after get_state().next is empty, too,
#   and only the "updates" stream told of the pause.
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
from langgraph.types import interrupt


class State(TypedDict, total=False):
    log: Annotated[list, operator.add]


def graph_with(checkpointer, second=lambda state: {"log": ["second"]}, **breakpoints):
    builder = StateGraph(State)
    builder.add_node("first", lambda state: {"log": ["first"]})
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    return builder.compile(checkpointer=checkpointer, **breakpoints)


start, config = {"log": []}, {"configurable": {"thread_id": "1"}}
keys = sorted(graph_with(InMemorySaver(), lambda state: interrupt("?")).invoke(start, config))
seen("interrupt(): keys of the result", keys, is_now=keys == ["__interrupt__", "log"])
result = graph_with(InMemorySaver(), interrupt_before=["second"]).invoke(start, config)
seen('interrupt_before=["second"]', result, is_now=result == {"log": ["first"]})
result = graph_with(None, interrupt_before=["second"]).invoke(start)
seen("the same without a checkpointer", result, is_now=result == {"log": ["first"]})

graph = graph_with(InMemorySaver(), interrupt_after=["second"])
parts = list(graph.stream(start, config, stream_mode="updates"))
seen('interrupt_after=["second"], the last part', parts[-1], is_now=parts[-1] == {"__interrupt__": ()})
state = graph.get_state(config)
seen("and next, interrupts", (state.next, state.interrupts), is_now=(state.next, state.interrupts) == ((), ()))
PYTHON
