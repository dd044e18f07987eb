#!/usr/bin/env bash
# Guess: model.stream(..., n=2) of ChatOpenAI passes on one of the two answers, or refuses, as ChatOpenAI(n=2,
#   streaming=True) does.
# So it is: it takes the first choice of each chunk, whichever answer that is of, and adds them up to one message, in
#   silence: the two answers a token of each in turn. ChatOpenAI(n=2).stream(...) does it too. invoke() returns the
#   first answer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  langchain-core==1.8.3 \
  langchain-openai==1.7.4 \
  openai==3.57.0
export LANGSMITH_TRACING=false
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

packages = "langchain-core langchain-openai openai"
print("Version:", ", ".join(f"{name} {version(name)}" for name in packages.split()))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


from langchain_openai import ChatOpenAI

ANSWERS = [["The ", "answer ", "is ", "yes."], ["No, ", "it ", "is ", "not."]]
BASE = {"id": "1", "created": 1, "model": "m"}


def chunks():
    for number in range(4):
        for index, words in enumerate(ANSWERS):
            choice = {"index": index, "delta": {"role": "assistant", "content": words[number]}}
            choice["finish_reason"] = "stop" if number == 3 else None
            yield {**BASE, "object": "chat.completion.chunk", "choices": [choice]}


class Server(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks()) + "data: [DONE]\n\n"
        else:
            choices = [
                {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": "".join(words)}}
                for i, words in enumerate(ANSWERS)
            ]
            body = json.dumps({**BASE, "object": "chat.completion", "choices": choices})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if asked.get("stream") else "application/json")
        self.end_headers()
        self.wfile.write(body.encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
endpoint = {"model": "m", "base_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "none"}
first, mixed = "The answer is yes.", "The No, answer it is is yes.not."
found = ChatOpenAI(**endpoint, n=2).invoke("Is it so?").content
seen("invoke with n=2", found, is_now=found == first)
found = "".join(part.content for part in ChatOpenAI(**endpoint, n=2).stream("Is it so?"))
seen("stream of a model with n=2", found, is_now=found == mixed)
found = "".join(part.content for part in ChatOpenAI(**endpoint).stream("Is it so?", n=2))
seen("stream(..., n=2)", found, is_now=found == mixed)
try:
    ChatOpenAI(**endpoint, n=2, streaming=True)
except ValueError as error:
    found = "n must be 1 when streaming" in str(error)
else:
    found = False
seen("n=2 with streaming=True is refused", found, is_now=found)
PYTHON
