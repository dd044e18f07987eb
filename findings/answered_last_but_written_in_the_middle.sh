#!/usr/bin/env bash
# Guess: three nodes run side by side and one of them asks. The others have written by then, as get_state() shows,
#   so what the third writes after its answer comes last: at the end of a list, and as the value of a key where the
#   last write stands.
# So it is: all writes of the step are applied together once the answer is there, in the alphabetical order of the
#   nodes' names, whatever order they ended, were added or are streamed in. The value that get_state() showed at the
#   pause may stand against the one written after the answer.
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
from langgraph.types import Command, interrupt


class State(TypedDict, total=False):
    log: Annotated[list, operator.add]
    last: Annotated[str, lambda old, new: new]


def node(name):
    def write(state):
        if name == "m":
            interrupt("go on?")
        return {"log": [name], "last": name}

    return write


builder = StateGraph(State)
for name in ("z", "m", "a"):
    builder.add_node(name, node(name))
    builder.add_edge(START, name)
graph, config = builder.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
graph.invoke({"log": []}, config)
values = graph.get_state(config).values
seen("get_state() at the pause", values, is_now=values == {"log": ["a", "z"], "last": "z"})
streamed = [next(iter(each)) for each in graph.stream(Command(resume="yes"), config, stream_mode="updates")]
seen("streamed after the answer", streamed, is_now=streamed[-1] == "m")
values = graph.get_state(config).values
seen("the state at the end", values, is_now=values == {"log": ["a", "m", "z"], "last": "z"})
PYTHON
