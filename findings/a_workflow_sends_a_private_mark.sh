#!/usr/bin/env bash
# Guess: a RemoteGraph sends its server the settings of the user's config and none of LangGraph's own marks, whichever
#   kind of graph calls it.
# So it is: called in an @entrypoint workflow that is run by itself, it sends "__pregel_resuming": false among the
#   settings (config.configurable), where the same call in a node of a StateGraph sends nothing: the mark stands in the
#   config of a graph's first step, and the body of a workflow is its first step.
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


import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.pregel.remote import RemoteGraph

requests = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b'event: values\r\ndata: {"x": 1}\r\n\r\n')

    def log_message(self, *_):
        pass


class State(TypedDict):
    x: int


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
remote = RemoteGraph("far", url=f"http://127.0.0.1:{server.server_port}")


def ask(state: State, config: RunnableConfig):
    return remote.invoke(state, config)


def settings(graph):
    graph.invoke({"x": 0}, {"configurable": {"mine": "kept"}})
    return requests.pop()["config"]["configurable"]


in_a_node = settings(StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile())
seen("settings sent by a node of a StateGraph", in_a_node, is_now=in_a_node == {"mine": "kept"})
in_a_workflow = settings(entrypoint()(ask))
marked = {"mine": "kept", "__pregel_resuming": False}
seen("settings sent by a workflow", in_a_workflow, is_now=in_a_workflow == marked)
server.shutdown()
PYTHON
