#!/usr/bin/env bash
# Guess: a node with CachePolicy() in a graph of messages answers the same question from the cache; callbacks hear
#   of the node as ever, and its "tasks" stream has a start and a result.
# So it is: messages without an id get a new one in each run, and the id is in the cache's key: the same text never
#   hits. With an id of one's own it hits, and then no callback hears of the node, and the "tasks" stream has a
#   start without a result; only the "updates" stream says that it was cached.
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


from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langgraph.cache.memory import InMemoryCache
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy

ran = []


class Names(BaseCallbackHandler):
    def __init__(self):
        self.heard = []

    def on_chain_start(self, *_, name=None, **__):
        self.heard.append(name)


def answer(state):
    ran.append("answer")
    return {"messages": [("ai", "hi")]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer, cache_policy=CachePolicy())
builder.add_edge(START, "answer")
graph = builder.compile(cache=InMemoryCache())

for _ in range(3):
    graph.invoke({"messages": [HumanMessage("hello")]})
seen("three times the same text without an id: node runs", len(ran), is_now=len(ran) == 3)

ran.clear()
heard = []
for _ in range(3):
    names = Names()
    graph.invoke({"messages": [HumanMessage("hello", id="1")]}, {"callbacks": [names]})
    heard.append("answer" in names.heard)
seen("with an id: node runs", len(ran), is_now=len(ran) == 1)
seen("callbacks heard of the node", heard, is_now=heard == [True, False, False])
parts = list(graph.stream({"messages": [HumanMessage("hello", id="1")]}, stream_mode=["tasks", "updates"]))
tasks = ["result" if "result" in part else "start" for mode, part in parts if mode == "tasks"]
seen("a hit in the tasks stream", tasks, is_now=tasks == ["start"])
marks = [part.get("__metadata__") for mode, part in parts if mode == "updates"]
seen("a hit in the updates stream", marks, is_now=marks == [{"cached": True}])
PYTHON
