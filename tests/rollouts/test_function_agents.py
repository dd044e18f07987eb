"""Functions, coroutine functions, callables and Runnables as agents."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

import kit
import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.config import get_config, get_store, get_stream_writer
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, StreamWriter
from pydantic import BaseModel

from ec_agent import AgentError, AllRolloutsFailedError, best_of_n
from ec_agent.testing import Reply, message_of

PEAKS = (15, 3, 9)  # rollout 1 wins


def answer(state):
    model = kit.say(*PEAKS)
    return {"plain": model.invoke("?").content}


async def aanswer(state):
    model = kit.say(*PEAKS)
    return {"plain": (await model.ainvoke("?")).content}


class Caller:
    def __call__(self, state):
        return answer(state)

    def method(self, state):
        return answer(state)


class AsyncCaller:
    async def __call__(self, state):
        return await aanswer(state)


def with_more(extra, state, *, other=None):
    assert (extra, other) == ("extra", "other")
    return answer(state)


SYNC = {
    "function": answer,
    "lambda": lambda state: answer(state),
    "partial": functools.partial(with_more, "extra", other="other"),
    "callable object": Caller(),
    "bound method": Caller().method,
    "Runnable": RunnableLambda(answer, afunc=aanswer),
    "sync Runnable": RunnableLambda(answer),
    "sequence": RunnableLambda(lambda s: s) | RunnableLambda(answer),
    "entrypoint": entrypoint()(answer),
}
ASYNC = {
    "coroutine function": aanswer,
    "partial": functools.partial(aanswer),
    "callable object": AsyncCaller(),
    "Runnable": RunnableLambda(aanswer),
}


@pytest.mark.parametrize("agent", SYNC.values(), ids=SYNC.keys())
def test_in_a_graph_and_alone(run, agent):
    node = best_of_n(agent, n=3)
    assert run.invoke(kit.outer(node, kit.Items), {"items": ["in"]}) == {"items": ["in"], "plain": "answer 1"}
    assert run.invoke(node, {"items": ["in"]}) == {"plain": "answer 1"}


@pytest.mark.parametrize("agent", ASYNC.values(), ids=ASYNC.keys())
def test_async_only(agent):
    run, node = kit.Async(), best_of_n(agent, n=3)
    assert run.invoke(kit.outer(node, kit.Items), {"items": ["in"]}) == {"items": ["in"], "plain": "answer 1"}
    assert run.invoke(node, {"items": ["in"]}) == {"plain": "answer 1"}


@pytest.mark.parametrize("agent", [aanswer, AsyncCaller(), functools.partial(aanswer)])
@pytest.mark.parametrize(
    "use",
    [
        lambda node: node.invoke({"items": []}),
        lambda node: node.run({"items": []}),
        lambda node: list(node.stream({"items": []})),
        lambda node: node.batch([{"items": []}]),
        lambda node: kit.outer(node, kit.Items).invoke({"items": []}),
    ],
    ids=["invoke", "run", "stream", "batch", "as a node"],
)
def test_an_async_function_in_sync_is_refused(agent, use):
    with pytest.raises(AgentError, match="ainvoke"):
        use(best_of_n(agent, n=2))


@dataclass
class Context:
    user: str


def injected(state, config: RunnableConfig, runtime: Runtime[Context], *, store: BaseStore, writer: StreamWriter):
    answer(state)
    writer({"from": "agent"})
    return {"plain": [config["configurable"]["tenant"], runtime.context.user, store.get(("a",), "k").value["v"]]}


def by_name(state, config, runtime, store, writer):
    return injected(state, config, runtime, store=store, writer=writer)


def ambient(state):
    return injected(state, get_config(), get_runtime(Context), store=get_store(), writer=get_stream_writer())


async def ainjected(
    state, config: RunnableConfig, *, runtime: Runtime[Context], store: BaseStore, writer: StreamWriter
):
    return await asyncio.to_thread(injected, state, config, runtime, store=store, writer=writer)


@pytest.mark.parametrize("agent", [injected, by_name, ambient, functools.partial(injected), ainjected])
def test_config_runtime_store_and_writer_are_injected(run, agent):
    if run.name == "sync" and agent is ainjected:
        pytest.skip("an async function")
    store = InMemoryStore()
    store.put(("a",), "k", {"v": "stored"})
    builder = StateGraph(kit.Items, context_schema=Context)
    builder.add_node("solve", best_of_n(agent, n=2))
    builder.add_edge(START, "solve")
    graph, config = builder.compile(store=store), {"configurable": {"tenant": "t"}}
    with pytest.warns(match="repeat an earlier one"):
        done = run.invoke(graph, {"items": []}, config, context=Context("ann"))
    assert done["plain"] == ["t", "ann", "stored"]


class City(BaseModel):
    name: str


@pytest.mark.parametrize(
    "output",
    ["text", ["a", "list"], AIMessage("x", id="x"), 3, City(name="Rome"), {"any": "dict"}],
    ids=lambda o: type(o).__name__,
)
def test_alone_any_output_comes_back_as_it_is(run, output):
    done = run.invoke(best_of_n(kit.spoken(lambda i: output), n=1), "any input")
    assert done == output
    assert type(done) is type(output)


@pytest.mark.parametrize("value", ["text", ["a", "list"], AIMessage("x"), 3])
def test_in_a_graph_it_must_be_an_update(run, value):
    node = best_of_n(kit.spoken(lambda i: value), n=1)
    with pytest.raises(AllRolloutsFailedError, match=r"AgentError: the agent returned .*return a dict of state keys"):
        run.invoke(kit.outer(node, kit.Items), {"items": []})


@pytest.mark.parametrize(
    "command",
    [
        Command(update={"plain": 1}),
        Command(update={"plain": 1}, goto="elsewhere"),
        Command(update=[("plain", 1)]),
        [Command(update={"plain": 1}), Command(goto="elsewhere")],
    ],
)
def test_alone_a_command_gives_its_update(run, command):
    assert run.invoke(best_of_n(kit.spoken(lambda i: command), n=1), {}) == {"plain": 1}


@pytest.mark.parametrize("nothing", [None, {}, Command(), [Command()]])
def test_returning_nothing_is_a_failed_rollout(run, nothing):
    node = best_of_n(kit.spoken(lambda i: nothing if i else {"plain": "only"}), n=3)
    result = run.run(node, {})
    assert result.output == {"plain": "only"}
    assert [c.error is None for c in result.selection.candidates] == [True, False, False]
    assert "NoFinalActionError" in result.selection.candidates[1].error


def test_keys_unknown_to_the_outer_state_are_dropped(run):
    node = best_of_n(kit.spoken(lambda i: {"plain": i, "stranger": 1}), n=1)
    assert run.invoke(kit.outer(node, kit.Items), {"items": []}) == {"items": [], "plain": 0}


@pytest.mark.parametrize("form", ["object", "dict"])
def test_a_remote_agent_is_scored_by_its_messages(run, form):
    """No call is seen here; a remote graph's answers carry their logprobs."""

    def remote(state):
        index = kit.rollout_index()
        message = message_of(Reply(f"answer {index}", entropies=kit.peak(PEAKS[index])))
        return {"messages": [message.model_dump() if form == "dict" else message]}

    graph = kit.outer(best_of_n(remote, n=3, selection_key="receipt"), Receipt)
    done = run.invoke(graph, {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1"]
    assert "logprobs" not in done["messages"][-1].response_metadata
    assert [c["centroid"] for c in done["receipt"]["candidates"]] == [kit.centroid(at) for at in PEAKS]


class Receipt(kit.MessagesState):
    receipt: dict[str, Any]


def test_a_function_that_calls_another_best_of_n(run):
    """Inside a rollout the inner node's writes are those of the function, for the real outer state."""
    inner = best_of_n(kit.chat(kit.say(15, 3)), n=2)

    def call(state):
        return inner.invoke(state)

    async def acall(state):
        return await inner.ainvoke(state)

    agent = RunnableLambda(call, afunc=acall)
    with pytest.warns(match="repeat an earlier one"):
        done = run.invoke(kit.outer(best_of_n(agent, n=2)), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1"]


def test_best_of_n_of_best_of_n(run):
    node = best_of_n(best_of_n(kit.chat(kit.say(15, 3)), n=2), n=2)
    with pytest.warns(match="repeat an earlier one"):
        done = run.invoke(kit.outer(node), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1"]
    with pytest.warns(match="repeat an earlier one"):
        assert kit.answers(run.invoke(node, {"messages": "go"})["messages"]) == ["answer 1"]


def test_alone_a_nested_call_says_what_to_call():
    inner = best_of_n(kit.chat(kit.say(15, 3)), n=2)
    with pytest.raises(AllRolloutsFailedError, match=r"StateMismatchError: .*\.as_agent\(\)"):
        best_of_n(lambda state: inner.invoke(state), n=2).invoke({"messages": "go"})
    node = best_of_n(lambda state: inner.as_agent().invoke(state), n=1)
    assert kit.answers(node.invoke({"messages": "go"})["messages"]) == ["answer 1"]


def test_of_several_updates_of_a_function_the_last_counts(run):
    """A key that keeps one value takes one write in a step; a function may make several."""
    several = [Command(update={"plain": place, "items": [place]}) for place in range(3)]
    node = best_of_n(kit.spoken(lambda i: several), n=1)
    assert run.invoke(kit.outer(node, kit.Items), {"items": []}) == {"items": [0, 1, 2], "plain": 2}
