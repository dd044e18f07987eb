#!/usr/bin/env bash
# Guess: a RemoteGraph that is a node runs on its server without a thread, or on one of the server's own: the
#   thread_id that the graph around is called with names a thread in that graph's checkpointer, and means nothing to
#   the server.
# So it is: that thread_id is sent to the server as the thread to run on (/threads/ID/runs/stream), even where the
#   graph around has no checkpointer; so are the names of the nodes around, as metadata, while no thread_id means a
#   run without a thread (/runs/stream).
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

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.pregel.remote import RemoteGraph

requests = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        requests.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
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


def sent(checkpointer, config):
    builder = StateGraph(State)
    builder.add_node("node", remote)
    builder.add_edge(START, "node")
    builder.compile(checkpointer=checkpointer).invoke({"x": 0}, config)
    return requests.pop()


path, _ = sent(None, {})
seen("called without a thread_id", path, is_now=path == "/runs/stream")
thread = {"configurable": {"thread_id": "mine"}}
path, body = sent(InMemorySaver(), thread)
seen("with one, and a checkpointer", path, is_now=path == "/threads/mine/runs/stream")
node = body["config"]["metadata"].get("langgraph_node")
seen("langgraph_node in its metadata", node, is_now=node == "node")
path, _ = sent(None, thread)
seen("with one, and no checkpointer", path, is_now=path == "/threads/mine/runs/stream")
server.shutdown()
PYTHON
