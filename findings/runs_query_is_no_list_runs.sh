#!/usr/bin/env bash
# Guess: client.runs.query(), which the deprecation warning of LangSmith's Client.list_runs names, stands in for it: a plain
#   loop over it gives the same runs.
# So it is: on the same synchronous Client only "async for" goes over it; without selects= it asks for ids alone, so that
#   runs come without outputs; and run types and statuses are in upper case, so that a filter on "llm" finds none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet langsmith==0.15.1
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import asyncio
import json
import logging
import sys
import threading
import typing
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

print("Version: langsmith", version("langsmith"))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


from langsmith import Client
from langsmith.types.run_type import RunType

ID = "00000000-0000-0000-0000-000000000001"
asked = []


class Server(BaseHTTPRequestHandler):
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({})

    def do_POST(self):
        asked.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
        self.answer({"runs": [], "items": [], "cursors": {"next": None}, "next_cursor": None})

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
logging.disable()
client = Client(api_url=f"http://127.0.0.1:{server.server_port}", api_key="x")
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    list(client.list_runs(project_id=ID))
said = next((str(each.message) for each in told if "list_runs" in str(each.message)), "")
seen("the warning", said[:120], is_now="client.runs.query()" in said)
names = [name for name in dir(client.runs) if name.startswith("query")]
seen("methods of client.runs that begin with query", names, is_now="query" in names)
asked.clear()
runs = client.runs.query(project_ids=[ID])
seen("what it returns can be iterated, only asynchronously", type(runs).__name__,
     is_now=not hasattr(runs, "__iter__") and hasattr(runs, "__aiter__"))


async def asynchronously():
    return [run async for run in runs]


asyncio.run(asynchronously())
(path, body), = [each for each in asked if "query" in each[0]]
seen("the request", (path, body), is_now=path == "/api/v2/runs/query" and "selects" not in body)
documented = " ".join((type(client.runs).query_v2.__doc__ or "").split())
only = "If omitted, only `id` is returned"
seen("what it says of a request without selects", only, is_now=only in documented)
kinds = typing.get_args(RunType)
seen("run types", kinds, is_now="LLM" in kinds and "llm" not in kinds)
server.shutdown()
PYTHON
