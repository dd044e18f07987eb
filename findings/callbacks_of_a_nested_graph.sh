#!/usr/bin/env bash
# Guess: what is called inside a node with a config that has callbacks of its own, {"callbacks": []} even, is heard
#   by those alone; so it is with any Runnable.
# So it is: so it is with a RunnableLambda, not with a compiled graph: LangGraph adds the handlers of the run around
#   to those it is given, so a nested graph cannot be kept from them by its config.
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

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph


class State(TypedDict):
    x: int


class Names(BaseCallbackHandler):
    def __init__(self):
        self.heard = []

    def on_chain_start(self, *_, name=None, **__):
        self.heard.append(name)


def graph_of(name, function):
    builder = StateGraph(State)
    builder.add_node(name, function)
    builder.add_edge(START, name)
    return builder.compile()


graph, function = graph_of("deep", lambda state: {"x": 1}), RunnableLambda(lambda x: x, name="function")


def heard_outside(nested, callbacks):
    def node(state):
        nested.invoke({"x": 0}, {"callbacks": callbacks})
        return {"x": 2}

    outside = Names()
    graph_of("node", node).invoke({"x": 0}, {"callbacks": [outside]})
    return outside.heard[2:]  # after the graph and the node


for label, callbacks in (("[]", []), ("[its own]", [Names()])):
    for nested, comes_through in ((function, []), (graph, ["LangGraph", "deep"])):
        heard = heard_outside(nested, callbacks)
        what = f"the handler outside hears of a {type(nested).__name__} called with callbacks={label}"
        seen(what, heard, is_now=heard == comes_through)
PYTHON
