"""A record inside a record: whoever listens along hears the calls, and takes none from the record around."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from contextvars import copy_context

import pytest
from asking import chat, timelines
from fake_openai import Answer
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import MessagesState, StateGraph

from ec_agent import Limits, MissingLogprobsError, best_of_n, record_calls
from ec_agent.errors import EcAgentError

ENTROPIES = [1.5, 0.25, 0.75]
LATE = [0.25, 0.75, 1.5]
ALIKE = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
QUESTION = {"messages": [("user", "x")]}


@pytest.fixture
def told(fake):
    fake.answers.update(hi=Answer(ENTROPIES), one=Answer([0.25]), two=Answer([0.5, 1.0]), late=Answer(LATE))
    return fake


def agent(node):
    """A graph of one node."""
    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.set_entry_point("node")
    return builder.compile()


def test_both_records_have_the_calls_in_their_order(told, client, chat_model):
    with record_calls() as around:
        chat_model().invoke("one")
        with record_calls() as inner:
            client.chat.completions.create(**chat("hi"))
            list(chat_model().stream("two"))
            with record_calls() as innermost:
                chat_model().invoke("one")
        chat_model().invoke("two")
    assert timelines(around) == [[0.25], ENTROPIES, [0.5, 1.0], [0.25], [0.5, 1.0]]
    assert timelines(inner) == [ENTROPIES, [0.5, 1.0], [0.25]]
    assert timelines(innermost) == [[0.25]]


def test_each_recorder_keeps_its_own_settings_and_filter(told, chat_model):
    judge = chat_model(tags=["judge"])
    wants = {"signals": ["logprob"], "keep_text": True, "calls": lambda call: "judge" in call.tags}
    with record_calls(calls=lambda call: "judge" not in call.tags) as around, record_calls(**wants) as inner:
        chat_model().invoke("hi")
        judge.invoke("two")
    assert timelines(around) == [ENTROPIES]
    (call,) = inner.trajectory().calls
    assert timelines(inner) == [[0.5, 1.0]]
    assert len(call.texts) == len(call.signal("logprob")) == 2


def test_one_that_listens_can_have_logprobs_asked_for(told, client):
    asks = chat("hi", logprobs=None, top_logprobs=None)
    with record_calls() as around, record_calls(request_logprobs=True) as inner:
        client.chat.completions.create(**asks)
    client.chat.completions.create(**asks)
    assert timelines(around) == timelines(inner) == [ENTROPIES]
    assert [body.get("top_logprobs") for body in told.bodies()] == [20, None]


@ALIKE
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_rollout_records_calls_of_a_nested_block(told, chat_model, mode):
    """Its timeline, its settings and its limits: all is as without the block."""
    model, heard = chat_model(logprobs=None, top_logprobs=None), []

    def node(state):
        with record_calls() as recorder:
            model.invoke("one")
            model.invoke("hi")
        heard.append(timelines(recorder))
        return {"messages": [AIMessage("done")]}

    async def anode(state):
        with record_calls() as recorder:
            await asyncio.gather(model.ainvoke("hi"), model.ainvoke("hi"))
        heard.append(timelines(recorder))
        return {"messages": [AIMessage("done")]}

    options = {"n": 2, "request_logprobs": True, "sampling": lambda index: {"seed": index}}
    better = best_of_n(agent(node if mode == "sync" else anode), **options)
    result = better.run(QUESTION) if mode == "sync" else await better.arun(QUESTION)
    expected = [[0.25], ENTROPIES] if mode == "sync" else [ENTROPIES, ENTROPIES]
    assert heard == [expected] * 2
    assert [timelines_of(each) for each in result.trajectories] == [expected] * 2
    assert {body["seed"] for body in told.bodies()} == {0, 1}
    assert [(c.calls, c.coverage, c.unsampled_calls) for c in result.selection.candidates] == [(2, 1.0, 0)] * 2


def timelines_of(trajectory):
    return [[round(float(h), 6) for h in call.entropies] for call in trajectory.calls]


def test_a_rollouts_limits_hold_inside_a_block(told, chat_model):
    def node(state):
        with record_calls():
            for _ in range(9):
                chat_model().invoke("hi")
        return {"messages": [AIMessage("done")]}

    with pytest.raises(EcAgentError, match="max_tokens"):
        best_of_n(agent(node), n=1, limits=Limits(max_tokens=4)).run(QUESTION)
    assert len(told.asked) <= 2


def test_a_missing_call_inside_a_block_ends_the_run(told, chat_model):
    def node(state):
        with record_calls():
            chat_model(logprobs=None, top_logprobs=None).invoke("hi")
        return {"messages": [AIMessage("done")]}

    with pytest.raises(MissingLogprobsError):
        best_of_n(agent(node), n=1, on_missing="raise").run(QUESTION)


def test_tools_are_on_both_records(told, chat_model):
    @tool
    def look(at: str) -> str:
        """Look."""
        chat_model().invoke(at)
        return "seen"

    with record_calls(keep_text=True) as around, record_calls(keep_text=True) as inner:
        chat_model().invoke("hi")
        look.invoke({"at": "one"})
    for recorder in (around, inner):
        first, second = recorder.trajectory().calls
        assert [(use.name, use.result) for use in first.tools] == [("look", "seen")]
        assert not second.tools
        assert recorder.facts()["tool_calls"] == 1


@ALIKE
def test_outer_recorders_count_the_winner_and_no_loser(told, chat_model):
    prompts = iter(["late", "hi", "late"])

    def node(state):
        return {"messages": [chat_model().invoke(next(prompts))]}

    with record_calls() as around, record_calls() as inner:
        best_of_n(agent(node), n=3, limits=Limits(max_concurrency=1)).run(QUESTION)
    assert timelines(around) == timelines(inner) == [ENTROPIES]


# generators, as web servers step them


@pytest.mark.parametrize("inside", [False, True])
def test_a_generator_may_be_stepped_in_several_contexts(told, chat_model, inside):
    recorders = []

    def stream():
        with record_calls() as recorder:
            recorders.append(recorder)
            yield from chat_model().stream("hi")

    def steps(generator):
        while True:
            try:
                yield copy_context().run(next, generator)
            except StopIteration:
                return

    with record_calls() if inside else nullcontext() as around:
        text = "".join(chunk.content for chunk in steps(stream()))
    assert text == "w0 w1 w2 "
    for recorder in (*recorders, *([around] if inside else [])):
        assert timelines(recorder) == [ENTROPIES]


async def test_an_async_generator_that_is_closed_by_another_task(told, aclient):
    async def stream():
        with record_calls() as recorder:
            await aclient.chat.completions.create(**chat("hi"))
            yield recorder

    generator = stream()
    recorder = await asyncio.create_task(anext(generator))
    await asyncio.create_task(generator.aclose())
    assert timelines(recorder) == [ENTROPIES]
    await aclient.chat.completions.create(**chat("one"))
    assert timelines(recorder) == [ENTROPIES]
