#!/usr/bin/env bash
# Guess: where OpenInference traces both LangChain and OpenAI's client, the span of the client's request is inside the
#   span of LangChain's model that made it: in one trace, and easily told from a second call.
# So it is: LangChain's spans are not made current while the model runs, so each request of the client is the root of a
#   trace of its own. An agent with two calls gives three traces, and its calls are there twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  openinference-instrumentation-openai==0.1.66 \
  openinference-instrumentation-langchain==0.1.80 \
  opentelemetry-sdk==1.45.2 \
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

packages = "openinference-instrumentation-openai openinference-instrumentation-langchain langchain-openai"
print("Version:", ", ".join(f"{name} {version(name)}" for name in packages.split()))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
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
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
for each in (OpenAIInstrumentor, LangChainInstrumentor):
    each().instrument(tracer_provider=provider)
model = ChatOpenAI(model="m", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="x")
RunnableLambda(lambda question: [model.invoke(question).content for _ in range(2)]).invoke("q")

spans = exporter.get_finished_spans()
calls = [each for each in spans if each.attributes["openinference.span.kind"] == "LLM"]
seen("spans of kind LLM, of an agent that makes two calls", len(calls), is_now=len(calls) == 4)
traces = {each.context.trace_id for each in spans}
seen("traces", len(traces), is_now=len(traces) == 3)
alone = sorted(each.name for each in calls if each.parent is None)
seen("spans of calls without a parent", alone, is_now=alone == ["ChatCompletion", "ChatCompletion"])
server.shutdown()
PYTHON
