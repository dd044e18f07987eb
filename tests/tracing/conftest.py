from __future__ import annotations

import clerks
import pytest
from fake_openai import FakeOpenAI
from langchain_core.tracers import LangChainTracer
from langsmith import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sink import langsmith_answers, serving

from ec_agent.tracing import instrument, uninstrument


@pytest.fixture(scope="session")
def provider():
    """The global provider, which can be set only once in a process: the tools' own spans go there too."""
    provider = TracerProvider()
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider, exporter


@pytest.fixture
def spans(provider):
    """Traces without content, and gives what was exported so far, as a tree."""
    provider, exporter = provider
    exporter.clear()
    instrument(provider)
    yield lambda: clerks.Tree(exporter.get_finished_spans())
    uninstrument()


@pytest.fixture(params=[clerks.sync_run, clerks.async_run], ids=["sync", "async"])
def run(request):
    """Drives everything twice: synchronously, the rollouts in threads, and asynchronously."""
    return request.param


@pytest.fixture(scope="session")
def fake():
    fake = FakeOpenAI()
    yield fake
    fake.close()


@pytest.fixture
def server():
    with serving(langsmith_answers) as sink:
        yield sink


@pytest.fixture
def client(server):
    client = Client(api_url=server.url, api_key="lsv2_s3cr3t")
    yield client
    client.cleanup()


@pytest.fixture
def tracer(client):
    return {"callbacks": [LangChainTracer(client=client, project_name="p")]}
