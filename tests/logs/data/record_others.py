"""Records the logs of other tools that the tests read, with the tools themselves. The tests run none of this.

    python -m venv v && v/bin/pip install mlflow==3.17.2 llm==0.36 litellm==1.110.2 langchain-openai==1.7.4 \\
        openinference-instrumentation-openai==0.1.66 openinference-instrumentation-langchain==0.1.80
    for tool in mlflow openai langchain both llm; do
        PYTHONPATH=.:tests LITELLM_LOCAL_MODEL_COST_MAP=True v/bin/python tests/logs/data/record_others.py $tool
    done

The model is the tests' own server on 127.0.0.1. To "q" it answers with the entropies ``FIRST``, to "r" with ``SECOND``.
Each tool records an agent that asks both, and then "q" alone, streamed. The files are packed: logprobs are long.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from fake_openai import Answer, FakeOpenAI

FIRST, SECOND = [2.0, 0.1, 0.7], [0.1, 1.0]
HERE = Path(__file__).parent


def keep(name: str, data: bytes) -> None:
    """Write a file beside this one, packed."""
    (HERE / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))


def asking(url: str):
    """Return the function that asks through OpenAI's client."""
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key="x")

    def ask(question, **more):
        messages = [{"role": "user", "content": question}]
        done = client.chat.completions.create(model="m", messages=messages, logprobs=True, top_logprobs=20, **more)
        return list(done) if more else done

    return ask


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def record_mlflow(url: str) -> None:
    """Traces of ``mlflow.openai.autolog``: as JSON, and the database that they are in, without who recorded them."""
    import mlflow

    name = f"mlflow-{version('mlflow')}"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # its path is in the traces
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment("e")
        mlflow.openai.autolog()
        ask = asking(url)

        @mlflow.trace
        def agent(question):
            mlflow.update_current_trace(tags={"question": "one"})
            ask(question)
            ask("r")
            return "done"

        agent("q")
        ask("q", **STREAMED)
        mlflow.flush_trace_async_logging()
        traces = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
        keep(f"{name}.jsonl", "".join(f"{signed_by_nobody(trace.to_json())}\n" for trace in traces).encode())
        file_signed_by_nobody(Path(folder, "mlflow.db"))
        keep(f"{name}.db", Path(folder, "mlflow.db").read_bytes())


NOBODY = {"mlflow.user": "user", "mlflow.source.name": "record_others.py"}


def signed_by_nobody(trace: str) -> str:
    """Return a trace as JSON without the name of who recorded it and the path of this program."""
    found = json.loads(trace)
    found["info"]["trace_metadata"].update(NOBODY)
    return json.dumps(found)


def file_signed_by_nobody(file: Path) -> None:
    """Take the same out of MLflow's database, also out of the pages that are free."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        for name, value in NOBODY.items():
            connection.execute("UPDATE trace_request_metadata SET value = ? WHERE key = ?", (value, name))
        connection.commit()
        connection.execute("VACUUM")


def record_spans(url: str, tool: str) -> None:
    """Spans of OpenInference: as the console exporter prints them, and as OTLP in JSON."""
    import io

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    printed = io.StringIO()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=printed)))
    libraries = ["openai", "langchain"] if tool == "both" else [tool]
    if "openai" in libraries:
        from openinference.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=provider)
    if "langchain" in libraries:
        from langchain_core.runnables import RunnableLambda
        from langchain_openai import ChatOpenAI
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider)
        model = ChatOpenAI(model="m", base_url=url, api_key="x", logprobs=True, top_logprobs=20)

        def agent(question):
            model.invoke(question)
            return model.invoke("r").content

        RunnableLambda(agent).invoke("q")
        list(model.stream("q"))
    else:
        ask = asking(url)
        with provider.get_tracer("t").start_as_current_span("agent"):
            ask("q")
            ask("r")
        ask("q", **STREAMED)
    versions = "-".join(f"{each}-{version(f'openinference-instrumentation-{each}')}" for each in libraries)
    keep(f"openinference-{versions}.json", printed.getvalue().encode())


def record_llm(url: str) -> None:
    """The log of ``llm``: a chat model, and a completion model, whole and streamed."""
    with tempfile.TemporaryDirectory() as folder:
        models = [
            {"model_id": "chat", "model_name": "chat", "api_base": url},
            {"model_id": "text", "model_name": "text", "api_base": url, "completion": True},
        ]
        Path(folder, "extra-openai-models.yaml").write_text(json.dumps(models))
        environment = {**os.environ, "LLM_USER_PATH": folder, "OPENAI_API_KEY": "x"}
        command = Path(sys.executable).with_name("llm")
        for words in (
            ["-m", "text", "--no-stream", "-o", "logprobs", "5", "q"],
            ["-m", "text", "-o", "logprobs", "5", "q"],
            ["-m", "text", "--no-stream", "-o", "logprobs", "5", "-c", "r"],
            ["-m", "chat", "q"],
        ):
            subprocess.run([command, *words], env=environment, check=True, capture_output=True)
        keep(f"llm-{version('llm')}.db", Path(folder, "logs.db").read_bytes())


if __name__ == "__main__":
    server = FakeOpenAI(
        {"q": Answer(entropies=FIRST), "r": Answer(entropies=SECOND)}, otherwise=Answer(entropies=SECOND)
    )
    what = sys.argv[1]
    if what == "mlflow":
        record_mlflow(server.url)
    elif what == "llm":
        record_llm(server.url)
    else:
        record_spans(server.url, what)
    server.close()
