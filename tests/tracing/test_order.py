"""What the spans show does not depend on when tracing was switched on, nor how often, nor beside what else."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter

import pytest
from clerks import clerk, peak, searching
from fake_openai import Answer
from langchain_core.tools import BaseTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from openai import AsyncOpenAI, OpenAI
from openai._base_client import AsyncAPIClient, SyncAPIClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ec_agent import best_of_n, read_only
from ec_agent.insides import tool_runs
from ec_agent.insides.patching import _innermost
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.tracing import instrument, uninstrument

ASKED = {"messages": [("user", "q")]}
ORDERS = ["ri", "ir", "rii", "iri", "iui", "riui", "iuri"]
"""``r``: a question is asked, ``i``: ``instrument()``, ``u``: ``uninstrument()``; compared with ``i`` alone."""

pytestmark = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


@pytest.fixture
def anew(monkeypatch):
    """As in a process in which nothing of ours has run yet."""

    def anew():
        for owner, name in (
            (BaseTool, "run"),
            (BaseTool, "arun"),
            (SyncAPIClient, "request"),
            (AsyncAPIClient, "request"),
        ):
            monkeypatch.setattr(owner, name, _innermost(getattr(owner, name)))
        monkeypatch.setattr(tool_runs, "_hooks", {})

    return anew


@pytest.fixture
def shown(anew):
    """How many spans there are of each name beneath each, of one question asked after these steps."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def shown(steps, ask):
        anew()
        for step in steps:
            {"i": lambda: instrument(provider, content=True), "u": uninstrument, "r": ask}[step]()
        exporter.clear()
        ask()
        uninstrument()
        spans = exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        return Counter((names.get(span.parent.span_id) if span.parent else None, span.name) for span in spans)

    yield shown
    uninstrument()


def calling_by_itself(asynchronous):
    """A node that calls tools by itself: one that is harmless, and one twice that commits."""
    sent = []

    @tool
    def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return f"sent {to}"

    @read_only
    @tool
    def look(q: str) -> str:
        """Look."""
        return f"found {q}"

    def act(state):
        look.invoke({"q": "c"})
        for to in ("a", "b"):
            send.invoke({"to": to})
        return {"messages": [("ai", "done")]}

    async def aact(state):
        await look.ainvoke({"q": "c"})
        for to in ("a", "b"):
            await send.ainvoke({"to": to})
        return {"messages": [("ai", "done")]}

    model = ScriptedChatModel(lambda messages, index: Reply("go", entropies=peak(index)))
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("act", aact if asynchronous else act)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "act")
    return builder.compile(), send, sent


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_two_executed_calls_are_two_spans(shown, order, asynchronous):
    agent, send, sent = calling_by_itself(asynchronous)  # compiled before anything is installed

    def ask():
        sent.clear()
        node = best_of_n(agent, n=2, commit=[send], on_commit="execute", continue_after_commit=True)
        asyncio.run(node.arun(ASKED)) if asynchronous else node.run(ASKED)

    expected = shown("i", ask)
    assert sum(count for (_, name), count in expected.items() if name == "execute_tool send") == 2
    assert shown(order, ask) == expected
    assert sent == ["a", "b"]


@pytest.mark.parametrize("order", ORDERS)
def test_tools_and_calls_appear_in_any_order(shown, order):
    def ask():
        best_of_n(clerk(searching(2), searching(9)), n=2).run(ASKED)

    expected = shown("i", ask)
    assert expected["invoke_agent clerk", "execute_tool look"] == 2
    assert expected["invoke_agent clerk", "chat scripted"] == 4
    assert shown(order, ask) == expected


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_raw_requests_appear_beside_another_instrumentation(shown, fake, monkeypatch, order, asynchronous):
    fake.otherwise = Answer(peak(3), text="so far")
    owner = AsyncOpenAI if asynchronous else OpenAI
    client, found = owner(base_url=fake.url, api_key="none"), _innermost(owner.request)
    said = {"model": "m", "messages": [{"role": "user", "content": "how far"}], "logprobs": True, "top_logprobs": 5}

    def agent(state):
        return {"messages": [("ai", client.chat.completions.create(**said).choices[0].message.content)]}

    async def aagent(state):
        return {"messages": [("ai", (await client.chat.completions.create(**said)).choices[0].message.content)]}

    def ask():
        node = best_of_n(aagent if asynchronous else agent, n=2)
        asyncio.run(node.arun(ASKED)) if asynchronous else node.run(ASKED)

    expected = shown("i", ask)
    assert sum(count for (_, name), count in expected.items() if name == "chat m") == 2
    # As OpenInference's does: on the subclass, around what the class above had before us.
    monkeypatch.setattr(owner, "request", functools.wraps(found)(lambda *a, **k: found(*a, **k)), raising=False)
    assert shown(order, ask) == expected
