#!/usr/bin/env bash
# Guess: langfuse's handler for LangChain writes what a model answered, logprobs included, into the span of the model
#   (a "generation"), and no more than the text into the spans around it.
# So it is: the other way round. The generation has the text and the tool calls alone, whole and streamed; the span of the
#   node and that of the graph have the messages with all their logprobs. An agent's answer is there twice, and not once
#   where one looks for it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  langfuse==5.0.4 \
  opentelemetry-sdk==1.45.2 \
  langgraph==1.2.24 \
  langchain==1.5.2 \
  langchain-core==1.8.3 \
  langchain-openai==1.7.4 \
  openai==3.57.0
export LANGSMITH_TRACING=false
export LANGFUSE_PUBLIC_KEY=x LANGFUSE_SECRET_KEY=x LANGFUSE_BASE_URL=http://127.0.0.1:9
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

print("Version:", ", ".join(f"{name} {version(name)}" for name in ("langfuse", "langchain", "langgraph")))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}", flush=True)
    if not is_now:
        print("This has changed.", file=sys.stderr, flush=True)
        os._exit(1)


from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langfuse import Langfuse
from langfuse.langchain import CallbackHandler
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TOP = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in (("yes", -0.1), ("no", -2.4))]
LOGPROBS = {"content": [{**TOP[0], "top_logprobs": TOP}], "refusal": None}


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = {"role": "assistant", "content": "yes"}
        choice = {"index": 0, "logprobs": LOGPROBS, "finish_reason": "stop"}
        answer = {"id": "c", "created": 1, "model": "m"}
        if asked.get("stream"):
            part = {**answer, "object": "chat.completion.chunk", "choices": [{**choice, "delta": said}]}
            kind, body = "text/event-stream", f"data: {json.dumps(part)}\n\ndata: [DONE]\n\n".encode()
        else:
            whole = {**answer, "object": "chat.completion", "choices": [{**choice, "message": said}]}
            kind, body = "application/json", json.dumps(whole).encode()
        self.send_response(200)
        self.send_header("content-type", kind)
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
url = f"http://127.0.0.1:{server.server_port}/v1"
agent = create_agent(ChatOpenAI(model="m", base_url=url, api_key="x", logprobs=True, top_logprobs=2), [])
config = {"callbacks": [CallbackHandler()]}
OUTPUT, TYPE = "langfuse.observation.output", "langfuse.observation.type"


def run_and_look(how, run):
    exporter.clear()
    run({"messages": [("user", "q")]}, config)
    spans = {each.name: each.attributes for each in exporter.get_finished_spans()}
    found = {f"{name} ({told[TYPE]})": "logprob" in str(told.get(OUTPUT)) for name, told in spans.items()}
    expected = {"ChatOpenAI (generation)": False, "model (chain)": True, "LangGraph (chain)": True}
    seen(f"{how}: whether a span has logprobs", found, is_now=found == expected)
    said = json.loads(spans["ChatOpenAI"][OUTPUT])
    seen(f"{how}: what the generation has", sorted(said), is_now="response_metadata" not in said)


run_and_look("whole", agent.invoke)
run_and_look("streamed", lambda asked, config: list(agent.stream(asked, config, stream_mode="messages")))
os._exit(0)  # langfuse would wait for its server
PYTHON
