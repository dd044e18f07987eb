"""What leaves the process: a real OTLP exporter, a real collector's endpoint, the bytes in between."""

from __future__ import annotations

import pytest
from clerks import ASKED, clerk, peak
from fake_openai import MODEL, Answer
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import OpenAI
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sink import serving

from ec_agent import best_of_n
from ec_agent.testing import Reply
from ec_agent.tracing import instrument, uninstrument

SECRET = "s3cr3t"


@pytest.fixture
def collector():
    with serving() as sink:
        yield sink


@pytest.fixture
def exporting(collector):
    """Exports to the collector; what it gives sends what was traced."""
    exporter = OTLPSpanExporter(f"{collector.url}/v1/traces", headers={"authorization": f"{SECRET}-exporter"})
    provider = TracerProvider(resource=Resource({"service.name": "tests"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    yield provider
    uninstrument()
    provider.shutdown()


def test_a_collector_receives_the_tree(collector, exporting, run):
    instrument(exporting)
    selection = run(best_of_n(clerk([Reply("a", entropies=peak(4))], [Reply("b", entropies=peak(1))]), n=2)).selection
    exporting.force_flush()
    spans = {span.span_id: span for span in collector.spans()}
    (question,) = [span for span in spans.values() if span.name == "best_of_n clerk"]
    rollouts = [span for span in spans.values() if span.name == "invoke_agent clerk"]
    assert {span.parent_span_id for span in rollouts} == {question.span_id}
    assert {spans[s.parent_span_id].name for s in spans.values() if s.name.startswith("chat")} == {"invoke_agent clerk"}
    told = [{each.key: each.value for each in span.attributes} for span in rollouts]
    by_index = {each["ec_agent.rollout.index"].int_value: each for each in told}
    for receipt in selection.candidates:
        assert by_index[receipt.index]["ec_agent.rollout.centroid"].double_value == receipt.centroid
        assert by_index[receipt.index]["ec_agent.rollout.selected"].bool_value == (receipt.index == selection.winner)


@pytest.mark.parametrize("content", [False, True], ids=["without content", "with content"])
def test_no_secret_leaves_the_process(collector, exporting, fake, monkeypatch, run, content):
    """Keys in headers, bodies, configs, metadata, the environment and errors; texts only where asked for."""
    monkeypatch.setenv("SOME_API_KEY", f"{SECRET}-environment")
    fake.otherwise = Answer(peak(3), text="a private answer")
    headers = {"X-Key": f"{SECRET}-header"}
    more = {"extra_headers": {"X-Other": f"{SECRET}-request"}, "user": f"{SECRET}-user"}
    body = {"model": MODEL, "logprobs": True, "top_logprobs": 20, "messages": [{"role": "user", "content": "private"}]}
    model = ChatOpenAI(
        model=MODEL,
        base_url=fake.url,
        api_key=f"{SECRET}-key",
        default_headers=headers,
        logprobs=True,
        top_logprobs=20,
        model_kwargs=more,
    )

    @tool
    def look(q: str) -> str:
        """Look."""
        return "private"

    def agent(state):
        with OpenAI(base_url=fake.url, api_key=f"{SECRET}-raw", default_headers=headers) as client:
            client.chat.completions.create(**body, extra_body={"api_key": f"{SECRET}-body"})
        look.invoke({"q": "private"})
        return {"messages": [model.invoke(state["messages"])]}

    def broken(state):
        agent(state)
        raise RuntimeError(f"{SECRET}-error at https://user:{SECRET}-url@host/")

    instrument(exporting, content=content)
    config = {
        "configurable": {"api_key": f"{SECRET}-configurable", "token": f"{SECRET}-token", "thread_id": "t"},
        "metadata": {"key": f"{SECRET}-metadata"},
        "tags": [f"{SECRET}-tag"],
    }
    sampling = {"temperature": 0.5, "extra_headers": {"X": f"{SECRET}-sampling"}}
    run(best_of_n(agent, n=1, sampling=lambda index: sampling), ASKED, config)
    with pytest.raises(Exception, match=f"{SECRET}-error"):
        run(best_of_n(broken, n=1), ASKED, config)
    exporting.force_flush()
    assert [span.name for span in collector.spans()].count(f"chat {MODEL}") == 4
    assert SECRET not in collector.text()
    assert ("private" in collector.text()) is content
    assert collector.sent[0].headers["authorization"] == f"{SECRET}-exporter"
