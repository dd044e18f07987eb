"""Tracing never ends the agent's run: not for a processor that fails, nor for what a server or a tool says."""

from __future__ import annotations

import asyncio
import json

import pytest
from clerks import clerk, peak
from fake_openai import Answer
from langchain_core.tools import tool
from openai import OpenAI
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ec_agent import TraceWarning, best_of_n, read_only
from ec_agent.testing import Reply
from ec_agent.tracing import instrument, uninstrument

pytestmark = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")

ASKED = {"messages": [("user", "q \ud83d")]}
HALF = "x\ud83dy"


@pytest.fixture
def provider():
    yield TracerProvider()
    uninstrument()


@pytest.fixture(params=["run", "arun"])
def run(request):
    def run(node):
        return node.run(ASKED) if request.param == "run" else asyncio.run(node.arun(ASKED))

    return run


class Wordless:
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


@read_only
@tool(response_format="content_and_artifact")
def look(q: str) -> tuple[str, object]:
    """Look."""
    return f"{q} {HALF}", Wordless()


def searching(at, query="things"):
    turn = Reply(tool_calls=[("look", {"q": query})], entropies=peak(at, 10))
    return [turn, Reply(f"answer {HALF} {at}", entropies=peak(at, 10))]


def node():
    return best_of_n(clerk(searching(2), searching(7), tools=[look]), n=2)


class Failing:
    """A user's span processor with a fault."""

    def __init__(self, where, kind=ValueError):
        self.where, self.kind = where, kind

    def _fail(self, where):
        if where == self.where:
            raise self.kind("a processor's fault")

    def on_start(self, span, parent_context=None):
        self._fail("on_start")

    def on_end(self, span):
        self._fail("on_end")

    def _on_ending(self, span):
        self._fail("_on_ending")

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=30000):
        return True


@pytest.mark.parametrize("where", ["on_start", "on_end", "_on_ending"])
@pytest.mark.parametrize("kind", [ValueError, OSError, MemoryError])
def test_a_processor_that_fails_is_one_warning(provider, run, where, kind):
    expected = run(node()).selection
    provider.add_span_processor(Failing(where, kind))
    instrument(provider, content=True)
    with pytest.warns(TraceWarning, match="tracing failed .*a processor's fault.* the run goes on") as told:
        result = run(node())
    assert len([each for each in told if each.category is TraceWarning]) == 1
    assert (result.selection.winner, result.selection.order) == (expected.winner, expected.order)
    assert result.output["messages"][-1].text == f"answer {HALF} {2 if expected.winner == 0 else 7}"


def test_a_failing_processor_with_a_raw_client(provider, run, fake):
    fake.otherwise = Answer(peak(3), text="so far")
    client = OpenAI(base_url=fake.url, api_key="none")

    def agent(state):
        asked = [{"role": "user", "content": "how far"}]
        answer = client.chat.completions.create(model="m", messages=asked, logprobs=True, top_logprobs=5)
        return {"said": answer.choices[0].message.content}

    provider.add_span_processor(Failing("on_start"))
    instrument(provider, content=True)
    with pytest.warns(TraceWarning, match="tracing failed"):
        result = run(best_of_n(agent, n=2))
    assert [len(each.calls) for each in result.trajectories] == [1, 1]


def test_a_tracer_that_fails_to_make_spans(run):
    class Tracer:
        def start_span(self, *args, **kwargs):
            raise RuntimeError("shut down")

    class Provider:
        def get_tracer(self, *args, **kwargs):
            return Tracer()

    instrument(Provider())
    try:
        with pytest.warns(TraceWarning, match="shut down"):
            assert run(node()).output["messages"][-1].text.startswith("answer")
    finally:
        uninstrument()


@pytest.mark.parametrize("content", [False, True])
def test_any_text_can_be_exported(provider, run, content):
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(provider, content=content)
    agent = clerk(searching(2, HALF), searching(7, HALF), tools=[look])
    agent.name = f"clerk {HALF}"
    result = run(best_of_n(agent, n=2, sampling=lambda index: {"seed": 2**70 + index}))
    assert result.output["messages"]
    spans = exporter.get_finished_spans()
    encode_spans(spans).SerializeToString()  # as an exporter does it
    assert f"best_of_n clerk {HALF.encode(errors='backslashreplace').decode()}" in {span.name for span in spans}
    if content:
        results = [span.attributes["gen_ai.tool.call.result"] for span in spans if span.name == "execute_tool look"]
        assert len(results) == 2
        assert all("\\ud83dy" in json.loads(each.replace("\\", "\\\\")) for each in results)
