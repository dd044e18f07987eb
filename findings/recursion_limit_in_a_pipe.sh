#!/usr/bin/env bash
# Guess: a graph has one default recursion limit, whichever Runnable calls it: a loop of 100 steps that invoke()
#   runs to its end is run by batch(), in a pipe, in a RunnableLambda and in a tool, too.
# So it is: the default of LangGraph (10007 steps) counts only where the graph is invoked directly, or by a node of
#   a graph. batch(), with_retry(), a pipe, a RunnableLambda and a tool fill in LangChain's default of 25, which
#   LangGraph takes for the caller's wish.
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

from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    steps: int


def step(state):
    return {"steps": state["steps"] + 1}


builder = StateGraph(State)
builder.add_node("step", step)
builder.add_edge(START, "step")
builder.add_conditional_edges("step", lambda state: END if state["steps"] >= 100 else "step")
graph = builder.compile()

around = StateGraph(State)
around.add_node("inner", lambda state: graph.invoke(state))
around.add_edge(START, "inner")


@tool
def run_it(steps: int) -> str:
    """Run the graph."""
    return str(graph.invoke({"steps": steps})["steps"])


def ended(call):
    try:
        call()
    except GraphRecursionError as error:
        return str(error).split(" reached")[0]
    return "all 100 steps"


start = {"steps": 0}
for what, call in {
    "graph.invoke(x)": lambda: graph.invoke(start),
    "a node calls graph.invoke(x)": lambda: around.compile().invoke(start),
}.items():
    how = ended(call)
    seen(what, how, is_now=how == "all 100 steps")
for what, call in {
    "graph.batch([x])": lambda: graph.batch([start]),
    "graph.with_retry().invoke(x)": lambda: graph.with_retry().invoke(start),
    "(RunnablePassthrough() | graph).invoke(x)": lambda: (RunnablePassthrough() | graph).invoke(start),
    "RunnableLambda(graph.invoke).invoke(x)": lambda: RunnableLambda(lambda x: graph.invoke(x)).invoke(start),
    "a tool calls graph.invoke(x)": lambda: run_it.invoke({"steps": 0}),
}.items():
    how = ended(call)
    seen(what, how, is_now=how == "Recursion limit of 25")
PYTHON
