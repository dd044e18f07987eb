from __future__ import annotations

import asyncio
import gc
import operator
import weakref
from typing import Annotated

import pytest
from asking import timelines
from fake_openai import MODEL, Answer
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from typing_extensions import TypedDict

from ec_agent import record_calls
from ec_agent.capture.langchain import HANDLER
from ec_agent.testing import Reply, ScriptedChatModel

ENTROPIES = [1.5, 0.25, 0.75]
pytestmark = [
    # langchain-openai adds up the usage of several prompts, and wants details there to add up
    pytest.mark.filterwarnings("ignore:Unexpected type for token usage"),
    pytest.mark.filterwarnings("ignore:.*is in beta"),
]


class State(TypedDict):
    out: Annotated[list, operator.add]


@pytest.fixture
def told(fake):
    fake.answers.update(
        hi=Answer(ENTROPIES),
        one=Answer([0.25], delay=0.06),
        two=Answer([0.5], delay=0.02),
        three=Answer([0.75]),
        bad=Answer(status=400),
        long=Answer([0.5] * 40, pace=0.001),
    )
    return fake


@pytest.fixture
def model(told, chat_model):
    return chat_model()


def open_in(recorder):
    """The runs of a recorder that the handler still waits for."""
    return [call for call in HANDLER._open.values() if call.recorder is recorder]


def graph_of(*nodes):
    builder = StateGraph(State)
    builder.add_sequence([(function.__name__, function) for function in nodes])
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile()


# One call, each way


def ask_invoke(model):
    model.invoke("hi")


def ask_stream(model):
    list(model.stream("hi"))


def ask_batch(model):
    model.batch(["hi"])


def ask_no_callbacks(model):
    model.invoke("hi", config={"callbacks": []})


def ask_bound(model):
    model.bind(temperature=0.5).with_retry().with_config(tags=["x"]).invoke("hi")


def ask_generate(model):
    model.generate([[HumanMessage("hi")]])


def ask_stream_events(model):
    list(model.stream_events("hi", version="v3"))


async def aask_invoke(model):
    await model.ainvoke("hi")


async def aask_stream(model):
    [_ async for _ in model.astream("hi")]


async def aask_batch(model):
    await model.abatch(["hi"])


async def aask_no_callbacks(model):
    await model.ainvoke("hi", config={"callbacks": []})


async def aask_bound(model):
    await model.bind(temperature=0.5).with_retry().with_config(tags=["x"]).ainvoke("hi")


async def aask_generate(model):
    await model.agenerate([[HumanMessage("hi")]])


async def aask_stream_events(model):
    [_ async for _ in await model.astream_events("hi", version="v3")]


WAYS = [name.removeprefix("ask_") for name in list(globals()) if name.startswith("ask_")]


def test_every_way_in_has_its_async_twin():
    assert [name.removeprefix("aask_") for name in globals() if name.startswith("aask_")] == WAYS


@pytest.mark.parametrize("way", WAYS)
def test_captured_once(way, model):
    with record_calls() as recorder:
        globals()[f"ask_{way}"](model)
    assert timelines(recorder) == [ENTROPIES]
    (call,) = recorder.trajectory().calls
    assert (call.tokens, call.model) == (3, MODEL)


@pytest.mark.parametrize("way", WAYS)
async def test_captured_once_async(way, model):
    with record_calls() as recorder:
        await globals()[f"aask_{way}"](model)
    assert timelines(recorder) == [ENTROPIES]


# LangChain's event protocol keeps the last chunk's logprobs of a message: all others are known from below, or lost.
WAYS_WITHOUT_CLIENT = [way for way in WAYS if way != "stream_events"]


def test_what_the_event_protocol_loses_is_a_gap():
    with record_calls() as recorder:
        ask_stream_events(ScriptedChatModel([[Reply("a b c", entropies=ENTROPIES)]]))
    (call,) = recorder.trajectory().calls
    assert call.tokens == 3
    assert recorder.trajectory().coverage < 0.5


@pytest.mark.parametrize("way", WAYS_WITHOUT_CLIENT)
def test_captured_without_any_openai_client_below(way):
    with record_calls() as recorder:
        globals()[f"ask_{way}"](ScriptedChatModel([[Reply("a b c", entropies=ENTROPIES)]]))
    assert timelines(recorder) == [ENTROPIES]


@pytest.mark.parametrize("way", WAYS_WITHOUT_CLIENT)
async def test_captured_without_any_openai_client_below_async(way):
    with record_calls() as recorder:
        await globals()[f"aask_{way}"](ScriptedChatModel([[Reply("a b c", entropies=ENTROPIES)]]))
    assert timelines(recorder) == [ENTROPIES]


def test_nothing_is_recorded_outside(model):
    with record_calls() as recorder:
        pass
    ask_invoke(model)
    assert recorder.started_calls() == 0
    assert not open_in(recorder)


# Several prompts in one go


def messages(*prompts):
    return [[HumanMessage(prompt)] for prompt in prompts]


@pytest.mark.parametrize("responses", [False, True])
def test_generate_with_several_prompts(responses, told, chat_model):
    with record_calls() as recorder:
        chat_model(use_responses_api=responses).generate(messages("one", "two", "three"))
    assert timelines(recorder) == [[0.25], [0.5], [0.75]]


@pytest.mark.parametrize("responses", [False, True])
async def test_generate_with_several_prompts_async(responses, told, chat_model):
    with record_calls() as recorder:
        await chat_model(use_responses_api=responses).agenerate(messages("one", "two", "three"))
    assert timelines(recorder) == [[0.25], [0.5], [0.75]]


def test_generate_without_logprobs_is_two_calls_without(told, chat_model):
    with record_calls() as recorder:
        chat_model(logprobs=None, top_logprobs=None).generate(messages("hi", "two"))
    assert timelines(recorder) == [[None] * 3, [None]]


def test_n_choices_count_once(fake, chat_model):
    fake.answers["hi"] = Answer([0.25, 0.5], more=[[0.75]])
    with record_calls() as recorder:
        chat_model(n=2).generate(messages("hi"))
    assert timelines(recorder) == [[0.25, 0.5]]
    assert [call.generated for call in recorder.trajectory().calls] == [3]
    assert recorder.every_call()[0].prompt_tokens == 7


def test_several_prompts_with_one_that_fails(told, model):
    with record_calls() as recorder:
        with pytest.raises(Exception, match="as told"):
            model.generate(messages("one", "bad"))
        model.invoke("three")
    assert timelines(recorder) == [[0.25], [0.75]]


async def test_several_prompts_with_one_that_fails_async(told, model):
    with record_calls() as recorder:
        with pytest.raises(Exception, match="as told"):
            await model.agenerate(messages("one", "bad"))
        await model.ainvoke("three")
    assert timelines(recorder) == [[0.25], [0.75]]


# Where calls are made


def test_in_nodes_nested_graphs_and_tools(model):
    @tool
    def inner_question(text: str) -> str:
        """Ask."""
        return str(model.invoke("three").content)

    def deep(state):
        return {"out": [model.invoke("two").content]}

    nested = graph_of(deep)

    def first(state):
        return {"out": [model.invoke("one").content]}

    def by_hand(state):
        return nested.invoke({"out": []})

    def by_tool(state):
        return {"out": [inner_question.invoke({"text": "x"})]}

    builder = StateGraph(State)
    builder.add_sequence([("first", first), ("sub", nested), ("by_hand", by_hand), ("by_tool", by_tool)])
    builder.add_edge(START, "first")
    with record_calls() as recorder:
        builder.compile().invoke({"out": []})
    assert timelines(recorder) == [[0.25], [0.5], [0.5], [0.75]]
    assert [call.node for call in recorder.trajectory().calls] == ["first", "deep", "deep", "by_tool"]


async def test_in_nodes_nested_graphs_and_tools_async(model):
    @tool
    async def inner_question(text: str) -> str:
        """Ask."""
        return str((await model.ainvoke("three")).content)

    async def deep(state):
        return {"out": [(await model.ainvoke("two")).content]}

    nested = graph_of(deep)

    async def first(state):
        return {"out": [(await model.ainvoke("one")).content]}

    async def by_hand(state):
        return await nested.ainvoke({"out": []})

    async def by_tool(state):
        return {"out": [await inner_question.ainvoke({"text": "x"})]}

    builder = StateGraph(State)
    builder.add_sequence([("first", first), ("sub", nested), ("by_hand", by_hand), ("by_tool", by_tool)])
    builder.add_edge(START, "first")
    with record_calls() as recorder:
        await builder.compile().ainvoke({"out": []})
    assert timelines(recorder) == [[0.25], [0.5], [0.5], [0.75]]
    assert [call.node for call in recorder.trajectory().calls] == ["first", "deep", "deep", "by_tool"]


def test_sync_nodes_of_an_async_run(model):
    def node(state):
        return {"out": [model.invoke("one").content]}

    async def run():
        with record_calls() as recorder:
            await graph_of(node).ainvoke({"out": []})
        return timelines(recorder)

    assert asyncio.run(run()) == [[0.25]]


@pytest.mark.parametrize("mode", ["messages", "updates", "values"])
def test_under_every_stream_mode(mode, model):
    def node(state):
        return {"out": [model.invoke("hi").content]}

    with record_calls() as recorder:
        list(graph_of(node).stream({"out": []}, stream_mode=mode))
    assert timelines(recorder) == [ENTROPIES]


async def test_under_astream_events(model):
    async def node(state):
        return {"out": [(await model.ainvoke("hi")).content]}

    with record_calls() as recorder:
        [_ async for _ in graph_of(node).astream_events({"out": []}, version="v2")]
    assert timelines(recorder) == [ENTROPIES]


# Ends that are not the usual one


def test_a_failed_call_leaves_none(model):
    with record_calls() as recorder:
        with pytest.raises(Exception, match="as told"):
            model.invoke("bad")
        with pytest.raises(Exception, match="as told"):
            list(model.stream("bad"))
        model.invoke("hi")
    assert timelines(recorder) == [ENTROPIES]
    assert not open_in(recorder)


async def test_a_failed_call_leaves_none_async(model):
    with record_calls() as recorder:
        with pytest.raises(Exception, match="as told"):
            await model.ainvoke("bad")
        with pytest.raises(Exception, match="as told"):
            [_ async for _ in model.astream("bad")]
        await model.ainvoke("hi")
    assert timelines(recorder) == [ENTROPIES]
    assert not open_in(recorder)


@pytest.mark.parametrize("below", ["openai", "none"])
def test_tokens_of_an_abandoned_stream_count(below, model):
    if below == "none":
        model = ScriptedChatModel([[Reply("x" * 40, entropies=[0.5] * 40)]])
    with record_calls() as recorder:
        seen = 0
        for chunk in model.stream("long"):
            seen += bool(chunk.content)
            if seen == 10:
                break
        model.invoke("hi")
    assert timelines(recorder) == [[0.5] * 10, ENTROPIES if below == "openai" else [0.5] * 40]


@pytest.mark.parametrize("below", ["openai", "none"])
async def test_tokens_of_an_abandoned_stream_count_async(below, model):
    if below == "none":
        model = ScriptedChatModel([[Reply("x" * 40, entropies=[0.5] * 40)]])
    with record_calls() as recorder:
        seen = 0
        stream = model.astream("long")
        async for chunk in stream:
            seen += bool(chunk.content)
            if seen == 10:
                break
        await stream.aclose()
        await model.ainvoke("hi")
    assert timelines(recorder) == [[0.5] * 10, ENTROPIES if below == "openai" else [0.5] * 40]


def test_an_answer_without_a_message_still_ends_the_call():
    class Odd(BaseChatModel):
        @property
        def _llm_type(self):
            return "odd"

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            message = AIMessage("x", response_metadata={"logprobs": "none", "model_name": None})
            output = {"token_usage": {"completion_tokens": -3}}
            return ChatResult(generations=[ChatGeneration(message=message)], llm_output=output)

    with record_calls() as recorder:
        Odd().invoke("hi")
    (call,) = recorder.trajectory().calls
    assert (call.tokens, list(call.entropies)) == (None, [])
    assert not open_in(recorder)


def test_the_handler_keeps_nothing_after_a_rollout():
    class Stuck(BaseChatModel):
        @property
        def _llm_type(self):
            return "stuck"

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            raise NotImplementedError

        async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
            await asyncio.sleep(60)

    async def run():
        with record_calls() as recorder:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(Stuck().ainvoke("hi"), 0.02)
            return weakref.ref(recorder)

    gone = asyncio.run(run())
    gc.collect()
    assert gone() is None


def test_a_message_state_graph_in_a_loop(told, chat_model):
    told.answers["hi"] = [Answer([0.25]), Answer([0.5])]
    model = chat_model()

    def talk(state: MessagesState):
        return {"messages": [model.invoke("hi")]}

    def on(state: MessagesState):
        return END if len(state["messages"]) > 2 else "talk"

    builder = StateGraph(MessagesState)
    builder.add_node("talk", talk)
    builder.add_edge(START, "talk")
    builder.add_conditional_edges("talk", on, ["talk", END])
    opening: list[AnyMessage] = [HumanMessage("x")]
    with record_calls() as recorder:
        builder.compile().invoke({"messages": opening})
    assert timelines(recorder) == [[0.25], [0.5]]
