#!/usr/bin/env bash
# Guess: the log of the command llm (logs.db) has an answer a row in the table "responses", with the provider's JSON in
#   its column response_json, as it has had since the table was made.
# So it is: in 0.36 "responses" and "conversations" are still made, and stay empty: answers are in "turns" (with
#   response_json), conversations in "threads". A query of the old table finds nothing, and no error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet llm==0.36 openai==3.57.0
export LLM_USER_PATH="$folder/llm" OPENAI_API_KEY=x
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import json
import os
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

print("Version:", ", ".join(f"{name} {version(name)}" for name in ("llm", "openai")))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "text": "yes", "finish_reason": "stop", "logprobs": None}
        answer = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
home = Path(os.environ["LLM_USER_PATH"])
home.mkdir()
model = {"model_id": "m", "model_name": "m", "completion": True, "api_base": f"http://127.0.0.1:{server.server_port}/v1"}
(home / "extra-openai-models.yaml").write_text(json.dumps([model]))
command = Path(sys.executable).with_name("llm")
said = subprocess.run([command, "-m", "m", "--no-stream", "q"], check=True, capture_output=True, text=True).stdout
seen("llm said", said.strip(), is_now=said.strip() == "yes")

log = sqlite3.connect(home / "logs.db")
for table, rows in {"responses": 0, "conversations": 0, "turns": 1, "threads": 1}.items():
    (count,) = log.execute(f"SELECT count(*) FROM {table}").fetchone()
    seen(f"rows in {table}", count, is_now=count == rows)
(kept,) = log.execute("SELECT response_json FROM turns").fetchone()
seen("turns.response_json", json.loads(kept)["choices"][0]["text"], is_now=json.loads(kept)["choices"][0]["text"] == "yes")
server.shutdown()
PYTHON
