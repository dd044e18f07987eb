#!/usr/bin/env bash
# Guess: disable_streaming=True turns streaming off for good; beside it streaming=True has no effect.
# So it is: ChatOpenAI(streaming=True, disable_streaming=True) still sends "stream": true, and then reads the answer as
#   a whole one. Every call raises a ValueError that speaks of an unexpected type of response. So does a call with tools
#   where disable_streaming="tool_calling". With streaming=False beside it both work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  langchain-openai==1.7.4 \
  langchain-core==1.8.3 \
  openai==3.57.0
export LANGSMITH_TRACING=false
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import sys
from importlib.metadata import version

packages = "langchain-openai langchain-core openai"
print("Version:", ", ".join(f"{name} {version(name)}" for name in packages.split()))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_openai import ChatOpenAI

asked = []
BASE = {"id": "c", "created": 1, "model": "m"}


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked.append(body.get("stream"))
        message = {"role": "assistant", "content": "hello"}
        choice = {"index": 0, "finish_reason": "stop"}
        if body.get("stream"):
            part = {**BASE, "object": "chat.completion.chunk", "choices": [{**choice, "delta": message}]}
            kind, sent = "text/event-stream", f"data: {json.dumps(part)}\n\ndata: [DONE]\n\n"
        else:
            kind = "application/json"
            sent = json.dumps({**BASE, "object": "chat.completion", "choices": [{**choice, "message": message}]})
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(sent.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
TOOL = {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}}


def answer(tools=False, **settings):
    """What a call comes to, and whether it asked for a stream."""
    url = f"http://127.0.0.1:{server.server_port}/v1"
    model = ChatOpenAI(model="m", base_url=url, api_key="none", max_retries=0, **settings)
    asked.clear()
    try:
        came = (model.bind_tools([TOOL]) if tools else model).invoke("hi").text
    except Exception as error:
        came = f"{type(error).__name__}: {error}"[:90]
    return came, asked[:]


came = answer(streaming=True, disable_streaming=True)
seen("streaming=True, disable_streaming=True", came, is_now=came[0].startswith("ValueError") and came[1] == [True])
came = answer(tools=True, streaming=True, disable_streaming="tool_calling")
seen('with tools and "tool_calling"', came, is_now=came[0].startswith("ValueError") and came[1] == [True])
came = answer(streaming=False, disable_streaming=True)
seen("streaming=False, disable_streaming=True", came, is_now=came == ("hello", [False]))
PYTHON
