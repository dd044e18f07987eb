"""What ``ec_agent/insides/streams.py`` relies on of the handlers of streams, and what it tells them."""

from __future__ import annotations

import asyncio

import kit
import pytest
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import MessagesState

from ec_agent.insides import streams
from ec_agent.support.plans import adrive, drive

# Two of the ways to stream are old.
pytestmark = pytest.mark.filterwarnings("ignore:astream")


class Tracer(BaseCallbackHandler):
    """It hears what tracers hear."""

    def __init__(self):
        self.heard = []

    def on_custom_event(self, name, data, **_):
        self.heard.append(name)

    def on_chat_model_start(self, *_, **__):
        self.heard.append("model")


def graph_of(look):
    """A graph whose node calls ``look`` with its callbacks, from a sync or an async node."""

    def node(state, config):
        drive(look(config["callbacks"]))
        return {}

    async def anode(state, config):
        await adrive(look(config["callbacks"]))
        return {}

    return {
        "sync node": kit.outer(RunnableLambda(node), MessagesState),
        "async node": kit.outer(RunnableLambda(node, afunc=anode), MessagesState),
    }


async def v1(graph, config):
    return [event async for event in graph.astream_events({"messages": "x"}, config, version="v1")]


async def v2(graph, config):
    return [event async for event in graph.astream_events({"messages": "x"}, config, version="v2")]


async def messages(graph, config):
    return [part async for part in graph.astream({"messages": "x"}, config, stream_mode="messages")]


async def log(graph, config):
    return [patch async for patch in graph.astream_log({"messages": "x"}, config)]


async def values(graph, config):
    return [part async for part in graph.astream({"messages": "x"}, config, stream_mode="values")]


@pytest.mark.parametrize(
    ("use", "streams_tokens", "streams_events"),
    [(v1, True, True), (v2, True, True), (log, True, True), (messages, True, False), (values, False, False)],
    ids=["v1", "v2", "log", "messages", "values"],
)
@pytest.mark.parametrize("node", ["sync node", "async node"])
def test_each_kind_of_stream_is_known_by_its_handlers(use, streams_tokens, streams_events, node):
    seen = []

    def look(callbacks):
        seen.append((streams.has_streams(callbacks), streams.event_streams(callbacks) is not None))
        seen.append((streams.has_streams(streams.without_streaming(callbacks)), False))
        yield from ()

    asyncio.run(use(graph_of(look)[node], {}))
    assert seen == [(streams_tokens, streams_events), (False, False)]


@pytest.mark.parametrize("node", ["sync node", "async node"])
@pytest.mark.parametrize("use", [v1, v2])
def test_event_streams_alone_are_told(use, node):
    tracer, answer = Tracer(), AIMessage("hi", response_metadata={"model_name": "m"})

    def look(callbacks):
        manager = streams.event_streams(callbacks)
        yield from streams.tell(manager, "ours", {"a": 1})
        yield from streams.tell_of_answer(manager, answer)

    events = asyncio.run(use(graph_of(look)[node], {"callbacks": [tracer]}))
    told = [(event["event"], event["name"]) for event in events if event["name"] in ("ours", "m")]
    assert told == [
        *([("on_custom_event", "ours")] if use is v2 else []),
        ("on_chat_model_start", "m"),
        ("on_chat_model_end", "m"),
    ]
    assert tracer.heard == []


def test_nobody_but_event_streams_is_told():
    assert streams.event_streams(None) is None
    assert streams.event_streams([Tracer()]) is None
    for manager in (CallbackManager, AsyncCallbackManager):
        assert streams.event_streams(manager(handlers=[Tracer()])) is None


def test_whether_anybody_hears(monkeypatch):
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.delenv(name, raising=False)
    assert not streams.heard({})
    assert streams.heard({"callbacks": [Tracer()]})
    assert streams.heard({"callbacks": CallbackManager(handlers=[Tracer()])})
