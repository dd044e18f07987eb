#!/usr/bin/env bash
# Guess: leaving `for part in graph.stream(...)` with `break` ends the run at once, as with astream(), or leaves a
#   thread running; what was not done is in get_state().next.
# So it is: the sync stream waits at the `break` for the nodes that are running, and saves what they wrote;
#   get_state().next is empty then, as after a run that has ended, but invoke(None) goes on with the nodes that
#   follow. astream() is left at once and cancels async nodes; a sync node in its thread runs to its end, and its
#   writes are lost.
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


import asyncio
import operator
import time
from typing import Annotated, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

SLOW = 2.0
done = []


class State(TypedDict, total=False):
    log: Annotated[list, operator.add]


def fast(state):
    return {"log": ["fast"]}


def slow(state):
    time.sleep(SLOW)
    done.append("slow")
    return {"log": ["slow"]}


async def slow_async(state):
    await asyncio.sleep(SLOW)
    done.append("slow")
    return {"log": ["slow"]}


def after(state):
    return {"log": ["after"]}


def graph_with(function):
    builder = StateGraph(State)
    builder.add_node("fast", fast)
    builder.add_node("slow", function)
    builder.add_node("after", after)
    builder.add_edge(START, "fast")
    builder.add_edge(START, "slow")
    builder.add_edge("slow", "after")
    return builder.compile(checkpointer=InMemorySaver())


config = {"configurable": {"thread_id": "1"}}
graph, begun = graph_with(slow), time.monotonic()
for part in graph.stream({"log": []}, config, stream_mode="updates"):
    assert "fast" in part
    break
took = time.monotonic() - begun
seen("sync: seconds until the stream is left", round(took, 1), is_now=took >= SLOW and done == ["slow"])
state = graph.get_state(config)
seen("sync: state", state.values, is_now=state.values == {"log": ["fast", "slow"]})
seen("sync: next", state.next, is_now=state.next == ())
log = graph.invoke(None, config)["log"]
seen("sync: log after invoke(None)", log, is_now=log == ["fast", "slow", "after"])


async def left(function):
    done.clear()
    graph, begun = graph_with(function), time.monotonic()
    stream = graph.astream({"log": []}, config, stream_mode="updates")
    async for part in stream:
        assert "fast" in part
        break
    await stream.aclose()
    took = time.monotonic() - begun
    await asyncio.sleep(SLOW * 1.5)
    return took, (await graph.aget_state(config)).values["log"]


for name, function, ran in (("async node", slow_async, []), ("sync node", slow, ["slow"])):
    took, log = asyncio.run(left(function))
    seen(f"astream, {name}: seconds until it is left", round(took, 1), is_now=took < SLOW)
    seen(f"astream, {name}: ran to its end", done, is_now=done == ran)
    seen(f"astream, {name}: log", log, is_now=log == ["fast"])
PYTHON
