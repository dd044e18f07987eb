"""Records what tracers and harnesses write of an agent with a tool, as ``record_others.py`` does. No test runs this.

    python -m venv v && v/bin/pip install numpy langchain==1.5.2 langchain-openai==1.7.4 PACKAGES
    PYTHONPATH=.:tests v/bin/python tests/logs/data/record_agents.py NAME

The packages of ``langfuse`` are langfuse==5.0.4, those of ``traceloop`` opentelemetry-sdk and
opentelemetry-instrumentation-langchain==0.62.4 and -openai==0.62.4, that of ``miniswe`` mini-swe-agent==2.4.6. For
``promptfoo`` there is no package: npm installs promptfoo==0.123.1, which needs Node 22, and its command is given as the
second argument. To "go" the model answers with a call of a tool, to what the tool found with text.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from fake_openai import Answer, FakeOpenAI
from record_others import FIRST, SECOND, STREAMED, asking, keep

LOGPROBS = {"logprobs": True, "top_logprobs": 20}
RESPONSES = {"top_logprobs": 20, "include": ["message.output_text.logprobs"]}


class Spans:
    """A provider of OpenTelemetry, and its spans as the console exporter prints them, without this machine's name."""

    def __init__(self) -> None:
        import io

        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

        self.printed = io.StringIO()
        self.provider = TracerProvider(resource=Resource({}))
        self.processor = SimpleSpanProcessor(ConsoleSpanExporter(out=self.printed))

    def keep(self, name: str) -> None:
        keep(f"{name}.json", self.printed.getvalue().encode())
        self.printed.seek(0)
        self.printed.truncate()


def run_agent(url: str, **config) -> None:
    """Run an agent of LangChain that calls a tool, whole and streamed."""
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def look(x: str) -> str:
        """Look."""
        return "found"

    agent = create_agent(ChatOpenAI(model="m", base_url=url, api_key="x", **LOGPROBS), [look])
    asked = {"messages": [("user", "go")]}
    agent.invoke(asked, config)
    list(agent.stream(asked, config, stream_mode="messages"))


def record_langfuse(url: str) -> None:
    nowhere = "http://127.0.0.1:9"
    os.environ.update(LANGFUSE_PUBLIC_KEY="x", LANGFUSE_SECRET_KEY="x", LANGFUSE_BASE_URL=nowhere)
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    spans, name = Spans(), f"langfuse-{version('langfuse')}"
    langfuse = Langfuse(tracer_provider=spans.provider)
    spans.provider.add_span_processor(spans.processor)
    run_agent(url, callbacks=[CallbackHandler()])
    spans.keep(f"{name}-langgraph")
    from langfuse.openai import OpenAI

    client = OpenAI(base_url=url, api_key="x")
    with langfuse.start_as_current_observation(name="agent"):
        for each in "qr":
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": each}], **LOGPROBS)
    list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "q"}], **LOGPROBS, **STREAMED))
    client.responses.create(model="m", input="q", **RESPONSES)
    spans.keep(f"{name}-openai")
    os._exit(0)  # or else it waits for its server


def record_traceloop(url: str) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    spans = Spans()
    spans.provider.add_span_processor(spans.processor)
    OpenAIInstrumentor().instrument(tracer_provider=spans.provider)
    ask = asking(url)
    with spans.provider.get_tracer("t").start_as_current_span("agent"):
        ask("q")
        ask("r")
    ask("q", **STREAMED)
    spans.keep(f"traceloop-openai-{version('opentelemetry-instrumentation-openai')}")
    OpenAIInstrumentor().uninstrument()
    LangchainInstrumentor().instrument(tracer_provider=spans.provider)
    run_agent(url)
    spans.keep(f"traceloop-langchain-{version('opentelemetry-instrumentation-langchain')}")


def record_miniswe(url: str) -> None:
    os.environ.update(MSWEA_CONFIGURED="true", MSWEA_SILENT_STARTUP="1", LITELLM_LOCAL_MODEL_COST_MAP="True")
    from minisweagent.agents.default import DefaultAgent
    from minisweagent.environments.local import LocalEnvironment
    from minisweagent.models.litellm_model import LitellmModel

    given = {"api_base": url, "api_key": "x", **LOGPROBS}
    model = LitellmModel(model_name="openai/m", model_kwargs=given, cost_tracking="ignore_errors")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "traj.json")
        agent = DefaultAgent(model, LocalEnvironment(), system_template="s", instance_template="{{task}}")
        agent.run("work")
        told = agent.save(None)
        told["info"]["config"]["model"]["model_kwargs"].pop("api_base")
        file.write_text(json.dumps(told, indent=2))
        keep(f"mini-swe-agent-{version('mini-swe-agent')}.json", file.read_bytes())


def record_promptfoo(url: str) -> None:
    """An evaluation, written as a document and as lines: of ``openai:chat``, ``openai:responses`` and HTTP."""
    body = {"model": "m", "messages": [{"role": "user", "content": "{{prompt}}"}], **LOGPROBS}
    http = {"method": "POST", "headers": {"content-type": "application/json"}, "body": body}
    providers = [
        *({"id": f"openai:{each}:m", "config": {"passthrough": told}} for each, told in PROMPTFOO.items()),
        {"id": f"{url}/chat/completions", "config": {**http, "transformResponse": "json.choices[0].message.content"}},
    ]
    tests = [{"vars": {"asked": each}} for each in "qr"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "c.json").write_text(
            json.dumps({"prompts": ["{{asked}}"], "providers": providers, "tests": tests})
        )
        off = dict.fromkeys(("PROMPTFOO_DISABLE_TELEMETRY", "PROMPTFOO_DISABLE_UPDATE"), "1")
        of = {"PROMPTFOO_CONFIG_DIR": folder, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "x"}
        command = [*shlex.split(sys.argv[2]), "eval", "-c", "c.json", "--no-cache", "--no-table"]
        files = ["-o", "out.json", "-o", "out.jsonl"]
        subprocess.run([*command, *files], env={**os.environ, **off, **of}, cwd=folder, check=True)
        written = json.loads(Path(folder, "out.json").read_bytes())
        told = written["metadata"]["promptfooVersion"]
        written["metadata"] = {"promptfooVersion": told}  # the rest names this machine
        keep(f"promptfoo-{told}.json", json.dumps(written).replace(url, "http://127.0.0.1:9/v1").encode())
        rows = Path(folder, "out.jsonl").read_text().replace(url, "http://127.0.0.1:9/v1")
        keep(f"promptfoo-{told}.jsonl", rows.encode())


PROMPTFOO = {"chat": LOGPROBS, "responses": RESPONSES}
LAST = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
SHELL = [
    Answer(entropies=FIRST, tool_calls=[("bash", {"command": "echo found"})]),
    Answer(entropies=SECOND, tool_calls=[("bash", {"command": LAST})]),
]

if __name__ == "__main__":
    steps = list(SHELL)
    answers = {
        "q": Answer(entropies=FIRST),
        "r": Answer(entropies=SECOND),
        "go": Answer(entropies=FIRST, tool_calls=[("look", {"x": "1"})]),
        "found": Answer(entropies=SECOND),
    }
    server = FakeOpenAI(answers, otherwise=lambda _: steps.pop(0))
    globals()[f"record_{sys.argv[1]}"](server.url)
    server.close()
