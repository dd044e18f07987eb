"""The inner model is asked for its reply in one piece, whatever would make it stream, unless told otherwise."""

from __future__ import annotations

import asyncio

import pytest
from inner import Inner
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from pricing import ANSWERING, CALLING, STATE, STEP, price_of

from ec_agent import IdenticalRolloutsWarning, best_of_n, record_calls
from ec_agent.prompted import PromptedToolModel

MODES = ["messages", "updates", "values", "custom", ["messages", "updates"]]


class Streams(BaseCallbackHandler, _StreamingCallbackHandler):
    """That of a stream, attached to the model itself."""

    def tap_output_iter(self, run_id, output):
        return output

    def tap_output_aiter(self, run_id, output):
        return output


class Streaming(Inner):
    """A model of nobody's client that streams where it is let."""

    streaming: bool = True

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        self.asked.append("streamed")
        yield ChatGenerationChunk(message=AIMessageChunk(self.says[0]))


EAGER = {"streaming": {"streaming": True}, "handler": {"callbacks": [Streams()]}}


def drained(agent, stream_mode, mode):
    async def collect():
        return [part async for part in agent.astream(STATE, stream_mode=stream_mode)]

    return list(agent.stream(STATE, stream_mode=stream_mode)) if mode == "sync" else asyncio.run(collect())


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("stream_mode", MODES, ids=str)
@pytest.mark.parametrize("made", EAGER)
def test_no_stream_mode_makes_it_stream(told, chat_openai, made, stream_mode, mode):
    agent = create_agent(PromptedToolModel(model=chat_openai(**EAGER[made])), [price_of])
    with record_calls() as recorder:
        parts = drained(agent, stream_mode, mode)
    assert [bool(body.get("stream")) for body in told.bodies()] == [False, False]
    assert [call.entropies.round(6).tolist() for call in recorder.trajectory().calls] == [CALLING, ANSWERING]
    if stream_mode == "messages":  # and whoever follows the run sees each message
        assert [part[0].text for part in parts] == ["", "4.50", "4.50 euros"]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_nor_does_an_event_stream(told, chat_openai, mode):
    agent = create_agent(PromptedToolModel(model=chat_openai(streaming=True)), [price_of])

    async def events():
        return [event async for event in agent.astream_events(STATE, version="v2")]

    seen = asyncio.run(events()) if mode == "async" else list(agent.stream_events(STATE, version="v3"))
    assert seen
    assert [bool(body.get("stream")) for body in told.bodies()] == [False, False]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_rollouts_neither(told, chat_openai, mode):
    agent = create_agent(PromptedToolModel(model=chat_openai(streaming=True)), [price_of])
    node = best_of_n(agent, n=2, sampling=lambda index: {"seed": index})
    with pytest.warns(IdenticalRolloutsWarning):
        _ = node.run(STATE) if mode == "sync" else asyncio.run(node.arun(STATE))
    assert [bool(body.get("stream")) for body in told.bodies()] == [False] * 4


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("how", ["streamed", "bound"])
def test_told_otherwise_it_streams(told, chat_openai, how, mode):
    below = chat_openai(stream_usage=True, **({"streaming": True} if how == "streamed" else {}))
    model = PromptedToolModel(model=below, streamed=how == "streamed")
    asked = model.bind_tools([price_of], **({"stream": True} if how == "bound" else {}))
    with record_calls() as recorder:
        said = asked.invoke("price?") if mode == "sync" else asyncio.run(asked.ainvoke("price?"))
    assert [bool(body.get("stream")) for body in told.bodies()] == [True]
    assert said.tool_calls[0]["args"] == {"name": "mug"}
    assert recorder.trajectory().calls[0].entropies.round(6).tolist() == CALLING


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_model_of_its_own_kind(mode):
    below = Streaming(says=[STEP], asked=[], streaming=True)
    model = PromptedToolModel(model=below).bind_tools([price_of])
    said = model.invoke("price?") if mode == "sync" else asyncio.run(model.ainvoke("price?"))
    assert said.tool_calls
    assert "streamed" not in below.asked
    assert below.streaming  # the user's own stays as it was


def test_a_model_that_would_not_stream_is_asked_itself(chat_openai, told):
    """A copy would be another model to an LLM cache."""
    asked = []

    class Kept(Inner):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            asked.append(self)
            return super()._generate(messages, stop, run_manager, **kwargs)

    below = Kept(says=[STEP], asked=[])
    PromptedToolModel(model=below).bind_tools([price_of]).invoke("price?")
    assert asked[0] is below
