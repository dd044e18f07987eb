#!/usr/bin/env bash
# Guess: langfuse's wrapper of OpenAI's client treats an answer's logprobs alike on both routes of the client: it keeps
#   them for chat completions and for Responses, or for neither.
# So it is: of a chat completion it keeps role and text, and the logprobs are gone in silence. Of the same answer by
#   Responses it keeps the whole output item, logprobs included.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet langfuse==5.0.4 opentelemetry-sdk==1.45.2 openai==3.57.0
export LANGFUSE_PUBLIC_KEY=x LANGFUSE_SECRET_KEY=x LANGFUSE_BASE_URL=http://127.0.0.1:9
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

print("Version:", ", ".join(f"{name} {version(name)}" for name in ("langfuse", "openai")))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}", flush=True)
    if not is_now:
        print("This has changed.", file=sys.stderr, flush=True)
        os._exit(1)


sys.excepthook = lambda *error: (sys.__excepthook__(*error), os._exit(1))  # threads of langfuse wait for its server
from langfuse import Langfuse
from langfuse.openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TOP = [{"token": token, "logprob": logprob, "bytes": []} for token, logprob in (("yes", -0.1), ("no", -2.4))]
TOKENS = [{**TOP[0], "top_logprobs": TOP}]
CHOICE = {
    "index": 0,
    "message": {"role": "assistant", "content": "yes"},
    "logprobs": {"content": TOKENS, "refusal": None},
    "finish_reason": "stop",
}
CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
PART = {"type": "output_text", "text": "yes", "annotations": [], "logprobs": TOKENS}
ITEM = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [PART]}
RESPONSE = {
    **{"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [ITEM]},
    **{"parallel_tool_calls": True, "tool_choice": "auto", "tools": []},
}


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(RESPONSE if self.path.endswith("/responses") else CHAT).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
exporter, provider = InMemorySpanExporter(), TracerProvider()
Langfuse(tracer_provider=provider)
provider.add_span_processor(SimpleSpanProcessor(exporter))
client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="x")


def written():
    (span,) = exporter.get_finished_spans()
    exporter.clear()
    return json.loads(span.attributes["langfuse.observation.output"])


question = [{"role": "user", "content": "q"}]
answer = client.chat.completions.create(model="m", messages=question, logprobs=True, top_logprobs=2)
seen("tokens with logprobs in the chat completion", len(answer.choices[0].logprobs.content), is_now=True)
kept = written()
seen("what its span has", kept, is_now=kept == CHOICE["message"])
client.responses.create(model="m", input="q", top_logprobs=2, include=["message.output_text.logprobs"])
top = written()["content"][0]["logprobs"][0]["top_logprobs"]
seen("candidates in the span of the response", [each["token"] for each in top], is_now=len(top) == 2)
os._exit(0)
PYTHON
