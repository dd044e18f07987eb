"""The chat models inside an agent, wherever they are."""

from __future__ import annotations

import functools
import types

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, wrap_model_call
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import BaseTool, tool
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from ec_agent import best_of_n
from ec_agent.doctor import models_of
from ec_agent.testing import Reply, ScriptedChatModel


def scripted(name):
    return ScriptedChatModel([[Reply("hello", entropies=[0.1])]], model_name=name)


A, B, C = scripted("a"), scripted("b"), scripted("c")
BOUND = B.bind(stop=["x"])
elsewhere = types.ModuleType("elsewhere")
elsewhere.model, elsewhere.other = A, B


class Holder:
    def __init__(self, model):
        self.model = model

    def node(self, state):
        return {"messages": [self.model.invoke(state["messages"])]}


class Slotted:
    __slots__ = ("model",)

    def __init__(self, model):
        self.model = model

    def __call__(self, state):
        return {"messages": [self.model.invoke(state["messages"])]}


class Refers:
    def __call__(self, state):
        return A.invoke(state["messages"])


def names(models):
    return [getattr(getattr(model, "bound", model), "model_name", None) for model in models]


def graph(*nodes):
    builder = StateGraph(MessagesState)
    builder.add_sequence([(f"node{place}", node) for place, node in enumerate(nodes)])
    builder.add_edge(START, "node0")
    builder.add_edge(f"node{len(nodes) - 1}", END)
    return builder.compile()


def names_a(state):
    return {"messages": [A.invoke(state["messages"])]}


async def names_b_async(state):
    return {"messages": [await B.ainvoke(state["messages"])]}


def names_a_inside(state):
    def ask(message):
        return A.invoke([message])

    return {"messages": [ask(message) for message in state["messages"]]}


def names_a_module(state):
    return {"messages": [elsewhere.model.invoke(state["messages"])]}


def calls_names_a(state):
    return names_a(state)


def names_none(state):
    return {"messages": [HumanMessage("A")]}


def closure(model):
    def node(state):
        return {"messages": [model.invoke(state["messages"])]}

    return node


def defaulted(state, model=A):
    return {"messages": [model.invoke(state["messages"])]}


@functools.wraps(names_none)
def wrapper(state):
    return names_a(state)


@tool
def asks_a(question: str) -> str:
    """Ask."""
    return A.invoke(question).text


class ToolWithModel(BaseTool):
    name: str = "asks"
    description: str = "Asks."
    model: ScriptedChatModel

    def _run(self, question: str) -> str:
        return self.model.invoke(question).text


@task
def a_task(question):
    return A.invoke(question)


@entrypoint()
def functional(question):
    return a_task(question).result()


AGENTS = {
    "the model itself": (A, ["a"]),
    "a binding": (BOUND, ["b"]),
    "a function": (names_a, ["a"]),
    "an async function": (names_b_async, ["b"]),
    "a function inside": (names_a_inside, ["a"]),
    "a function of a function": (calls_names_a, ["a"]),
    "a lambda": (lambda state: A.invoke(state), ["a"]),
    "a closure": (closure(C), ["c"]),
    "a default": (defaulted, ["a"]),
    "a wrapped function": (wrapper, ["a"]),
    "a partial": (functools.partial(defaulted, model=B), ["b", "a"]),
    "a method": (Holder(A).node, ["a"]),
    "a callable with slots": (Slotted(B), ["b"]),
    "a callable that refers": (Refers(), ["a"]),
    "a module": (names_a_module, ["a"]),
    "containers": (closure({"x": [(A,), {"y": B}]}), ["a", "b"]),
    "none": (names_none, []),
    "a graph": (graph(names_a, names_b_async), ["a", "b"]),
    "a graph with a Runnable": (graph(ChatPromptTemplate.from_messages([("placeholder", "{messages}")]) | C), ["c"]),
    "a nested graph": (graph(graph(closure(A)), closure(B)), ["b", "a"]),
    "a graph called in a node": (graph(closure(graph(names_a))), ["a"]),
    "a tool node": (graph(ToolNode([asks_a])), ["a"]),
    "a tool that holds one": (graph(ToolNode([ToolWithModel(model=B)])), ["b"]),
    "a sequence": (RunnablePassthrough() | A | RunnableLambda(lambda m: m) | B, ["a", "b"]),
    "in parallel": (RunnableParallel(one=A, two=BOUND), ["a", "b"]),
    "a branch": (RunnableBranch((lambda _: True, A), B), ["b", "a"]),
    "fallbacks": (A.with_fallbacks([B]), ["a", "b"]),
    "retries": (A.with_retry(), ["a"]),
    "the functional API": (functional, ["a"]),
    "create_agent": (create_agent(A, [asks_a]), ["a"]),
    "create_agent with a tool that asks": (create_agent(B, [asks_a]), ["b", "a"]),
    "twice the same": (graph(closure(A), names_a, A), ["a"]),
}


@pytest.mark.parametrize(("agent", "expected"), AGENTS.values(), ids=AGENTS)
def test_models_are_found(agent, expected):
    assert sorted(names(models_of(agent))) == sorted(expected)


def test_what_is_bound_stays():
    (found,) = models_of(graph(closure(BOUND)))
    assert found is BOUND
    assert found.kwargs == {"stop": ["x"]}


def test_one_model_bound_in_two_ways_is_two():
    assert names(models_of([A, A.bind(stop=["x"]), A.bind(stop=["x"]), A.bind(stop=["y"])])) == ["a", "a", "a"]


def test_models_of_a_middleware():
    class Other(AgentMiddleware):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def wrap_model_call(self, request, handler):
            return handler(request.override(model=self.model))

    @wrap_model_call
    def third(request, handler):
        return handler(request.override(model=C))

    assert sorted(names(models_of(create_agent(A, [], middleware=[Other(B), third])))) == ["a", "b", "c"]


def test_models_of_what_is_wrapped_already():
    assert names(models_of(best_of_n(graph(names_a), n=2))) == ["a"]


def test_a_model_around_a_model_is_one():
    class Around(ScriptedChatModel):
        inner: ScriptedChatModel

    around = Around([[Reply("x")]], model_name="around", inner=A)
    assert names(models_of(around)) == ["around"]


def test_circles_end():
    ring = []
    ring.append([ring, closure(ring), A])
    assert names(models_of(ring)) == ["a"]


def test_depth_is_bounded():
    deep = A
    for _ in range(10_000):
        deep = [deep]
    assert models_of(deep) == []


def test_odd_things_hold_none():
    assert models_of(None) == []
    assert models_of(object()) == []
    assert models_of(ScriptedChatModel) == []
    assert models_of(len) == []
