from __future__ import annotations

import asyncio
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from short_form import part_of

from ec_agent import ConfigError, best_of_n, record_calls
from ec_agent.capture.installing import recording
from ec_agent.capture.recorder import Recorder
from ec_agent.capture.shapes import call_of, payload_of_message
from ec_agent.testing import CANDIDATES, Reply, ScriptedChatModel, logprobs_for, message_of

REPLIES = {
    "text": Reply("one two three", entropies=[1.5, 0.25, 0.75]),
    "nothing": Reply(),
    "no logprobs": Reply("x"),
    "no logprobs, counted": Reply("x", tokens=5),
    "gaps": Reply("one two", entropies=[1.5, None]),
    "counted more": Reply("one", entropies=[1.5], tokens=5),
    "no text": Reply(entropies=[0.5] * 4),
    "more text than tokens": Reply("abcdefghij" * 3, entropies=[0.5, 0.1, 0.3]),
    "less text than tokens": Reply("ab", entropies=[0.5] * 7),
    "a tool": Reply(tool_calls=[("search", {"q": "x", "n": [1, 2]})], entropies=[2.0, 0.1]),
    "tools": Reply("so", tool_calls=[("a", {}), ("b", {"x": None}), ("a", {"y": "ü"})], entropies=[2.0]),
    "a tool without logprobs": Reply(tool_calls=[("search", {"q": "x"})], tokens=3),
    "raw logprobs": Reply("x", logprobs={"content": logprobs_for([0.5]), "refusal": None}),
    "raw list": Reply("x", logprobs=logprobs_for([0.5, 0.25])),
    "raw None entries": Reply("x", logprobs={"content": [None, None]}),
    "raw empty": Reply("x", logprobs={"content": []}),
    "raw refusal": Reply("x", logprobs={"content": None, "refusal": logprobs_for([0.5])}),
    "raw string": Reply("x", logprobs="none"),
    "raw legacy": Reply("x", logprobs={"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}]}),
    "no entropies": Reply("x", entropies=[]),
}


def merged(chunks):
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


def read(message):
    call = call_of(payload_of_message(message), ("entropy", "logprob"))
    return [repr(call.entropies), repr(call.signals["logprob"]), call.tokens, call.model]


def same(streamed, whole):
    assert streamed.content == whole.content
    assert streamed.tool_calls == whole.tool_calls
    assert streamed.usage_metadata == whole.usage_metadata
    assert streamed.response_metadata["model_name"] == whole.response_metadata["model_name"]
    assert read(streamed) == read(whole)


@pytest.mark.parametrize("case", REPLIES)
def test_streaming_equals_invoking(case):
    model = ScriptedChatModel([[REPLIES[case]]])
    with record_calls() as recorder:
        whole = model.invoke("hi")
        same(merged(list(model.stream("hi"))), whole)
    one, other = recorder.trajectory().calls
    assert repr(one.entropies) == repr(other.entropies)
    assert one.tokens == other.tokens


@pytest.mark.parametrize("case", REPLIES)
async def test_streaming_equals_invoking_async(case):
    model = ScriptedChatModel([[REPLIES[case]]])
    whole = await model.ainvoke("hi")
    same(merged([chunk async for chunk in model.astream("hi")]), whole)
    same(model.invoke("hi"), whole)


@pytest.mark.parametrize("case", REPLIES)
def test_the_message_has_the_replys_content(case):
    reply = REPLIES[case]
    message = ScriptedChatModel([[reply]], model_name="mine").invoke("hi")
    assert message.content == reply.content
    assert [(call["name"], call["args"]) for call in message.tool_calls] == list(reply.tool_calls)
    assert message.response_metadata["model_name"] == "mine"


entropies = st.one_of(
    st.floats(0, math.log(CANDIDATES)),
    st.sampled_from([0.0, 1e-12, 1e-9, 1e-6, math.log(CANDIDATES), math.log(2)]),
    st.none(),
)


@settings(max_examples=part_of(300), deadline=None)
@given(st.lists(entropies, max_size=4))
def test_entropies_are_reproduced(wanted):
    found = call_of(payload_of_message(message_of(Reply("x", entropies=wanted))), ("entropy",)).entropies
    assert len(found) == len(wanted)
    for got, want in zip(found.tolist(), wanted, strict=True):
        assert math.isnan(got) if want is None else got == pytest.approx(want, abs=1e-9)


def test_certain_tokens_are_exactly_zero():
    assert (call_of(payload_of_message(message_of(Reply("x", entropies=[0.0]))), ("entropy",)).entropies == 0.0).all()


@pytest.mark.parametrize("wrong", [-0.1, math.log(CANDIDATES) + 0.01, float("nan"), float("inf")])
def test_entropies_out_of_reach(wrong):
    with pytest.raises(ConfigError, match="nats"):
        logprobs_for([wrong])


# Which reply is due


def test_rollouts_follow_their_own_scripts():
    model = ScriptedChatModel([[Reply("a")], [Reply("b")]])
    said = []
    for index in range(5):
        with recording(Recorder(index)):
            said.append(model.invoke("x").content)
    assert said == ["a", "b", "a", "b", "a"]
    assert model.invoke("x").content == "a"


def test_the_conversation_selects_the_reply():
    model = ScriptedChatModel([[Reply("first"), Reply("second")]])
    asked = [HumanMessage("x")]
    assert model.invoke(asked).content == "first"
    assert model.invoke([*asked, AIMessage("first")]).content == "second"
    assert model.invoke([*asked, AIMessage("first"), AIMessage("second"), *asked]).content == "first"
    with pytest.raises(ConfigError, match="2 replies"):
        model.invoke([*asked, AIMessage("a"), AIMessage("b")])


def test_a_script_as_a_function():
    model = ScriptedChatModel(lambda messages, index: Reply(f"{messages[-1].content}{index}"))
    with recording(Recorder(3)):
        assert model.invoke("x").content == "x3"
    assert model.invoke("x").content == "x0"


def test_errors():
    model = ScriptedChatModel([[Reply(error=KeyError("scripted"))]])
    with record_calls() as recorder:
        for ask in (lambda: model.invoke("x"), lambda: list(model.stream("x"))):
            with pytest.raises(KeyError, match="scripted"):
                ask()
    assert recorder.trajectory().calls == ()


async def test_errors_async():
    model = ScriptedChatModel([[Reply(error=KeyError("scripted"))]])
    with record_calls() as recorder:
        with pytest.raises(KeyError, match="scripted"):
            await model.ainvoke("x")
        with pytest.raises(KeyError, match="scripted"):
            [_ async for _ in model.astream("x")]
    assert recorder.trajectory().calls == ()


def test_delays():
    model = ScriptedChatModel([[Reply("x", delay=0.05)]])
    for ask in (lambda: model.invoke("x"), lambda: list(model.stream("x"))):
        started = time.perf_counter()
        ask()
        assert time.perf_counter() - started >= 0.05


async def test_delays_async():
    model = ScriptedChatModel([[Reply("x", delay=0.3)]])
    started = time.perf_counter()
    await asyncio.gather(*(model.ainvoke("x") for _ in range(20)))
    assert 0.3 <= time.perf_counter() - started < 5  # one after the other it were 6


def test_the_example_of_the_module():
    @tool
    def search(q: str) -> str:
        """Search."""
        return f"found {q}"

    model = ScriptedChatModel(
        [
            [Reply(tool_calls=[("search", {"q": "x"})], entropies=[2.0, 0.1, 0.1]), Reply("late", entropies=[0.1])],
            [Reply("early", entropies=[2.0, 0.1, 0.1, 0.1])],
        ]
    )
    result = best_of_n(create_agent(model, tools=[search]), n=2).run({"messages": [HumanMessage("...")]})
    assert [len(trajectory.calls) for trajectory in result.trajectories] == [2, 1]
    assert result.output["messages"][-1].content == ("late" if result.selection.winner == 0 else "early")
