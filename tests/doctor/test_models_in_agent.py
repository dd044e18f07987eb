"""The chat models inside an agent, wherever they are."""

from __future__ import annotations

import functools
import gc
import types
from collections import OrderedDict, UserDict, deque, namedtuple
from collections.abc import Mapping

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

from ec_agent import CallFilter, ConfigError, best_of_n
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


class Registry(UserDict):
    pass


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
    "containers of other kinds": (
        closure([OrderedDict(x=A), types.MappingProxyType({"y": B}), deque([C])]),
        ["a", "b", "c"],
    ),
    "a named tuple": (closure(namedtuple("Pair", "x y")(A, B)), ["a", "b"]),
    "a mapping that holds one": (closure(Registry({"x": A})), ["a"]),
    "slots below a class with none": (type("Below", (Slotted,), {})(B), ["b"]),
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
def test_the_models_of_an_agent_are_found(agent, expected):
    assert sorted(names(models_of(agent))) == sorted(expected)


def test_what_is_bound_to_a_model_stays_with_it():
    (found,) = models_of(graph(closure(BOUND)))
    assert found is BOUND
    assert found.kwargs == {"stop": ["x"]}


def test_one_model_bound_in_two_ways_is_two():
    assert names(models_of([A, A.bind(stop=["x"]), A.bind(stop=["x"]), A.bind(stop=["y"])])) == ["a", "a", "a"]


def test_models_in_a_middleware_are_found():
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


def test_objects_that_hold_each_other_are_searched_once():
    ring = []
    ring.append([ring, closure(ring), A])
    assert names(models_of(ring)) == ["a"]


def test_depth_is_bounded():
    deep = A
    for _ in range(10_000):
        deep = [deep]
    assert models_of(deep) == []


def test_things_that_are_no_agents_hold_no_models():
    assert models_of(None) == []
    assert models_of(object()) == []
    assert models_of(ScriptedChatModel) == []
    assert models_of(len) == []


class Lazy(Mapping):
    """A mapping that asks a database for whatever it is asked."""

    def __init__(self, error=None):
        self.asked = 0
        self.error = error

    def _ask(self, *_):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return iter(["x"])

    __getitem__ = __iter__ = __len__ = keys = values = items = __contains__ = _ask


class LazyDict(dict):
    __iter__ = keys = values = items = Lazy._ask
    asked, error = 0, RuntimeError("a dict is not to be loaded")


class Proxy:
    """It stands for another object, which there is only while a request is served; as werkzeug's LocalProxy."""

    __slots__ = ("asked",)

    def __init__(self):
        object.__setattr__(self, "asked", [])

    def _current(self, *_):
        object.__getattribute__(self, "asked").append(1)
        raise RuntimeError("working outside of request context")

    __class__ = __dict__ = property(_current)
    __getattribute__ = __iter__ = __call__ = __eq__ = __bool__ = _current
    __hash__ = None


ODD = {
    "a lazy mapping": Lazy,
    "a lazy mapping whose database is down": lambda: Lazy(ConnectionError("db is down")),
    "a view of one": lambda: types.MappingProxyType(Lazy()),
    "a lazy dict": LazyDict,
    "a proxy": Proxy,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
@pytest.mark.parametrize("around", [lambda x: x, lambda x: [x], lambda x: {"x": x}, Holder, Slotted, closure])
def test_users_code_is_not_run(make, around):
    odd = make()
    assert names(models_of([around(odd), A])) == ["a"]
    (itself,) = gc.get_referents(odd) if type(odd) is types.MappingProxyType else [odd]
    assert not object.__getattribute__(itself, "asked")


def test_what_cannot_be_looked_into_hides_nothing_else():
    class Broken(functools.partial):
        @property
        def args(self):
            raise RuntimeError("not now")

    assert sorted(names(models_of([Broken(defaulted), B]))) == ["a", "b"]


def test_bound_values_that_cannot_be_compared():
    class Strange:
        def __eq__(self, other):
            raise ValueError("the truth value is ambiguous")

        __hash__ = None

    assert names(models_of([A.bind(x=Strange()), A.bind(x=Strange())])) == ["a", "a"]


def judged(*, shared=False):
    """A solver that asks A, and a judge that asks B, or A as well."""
    builder = StateGraph(MessagesState)
    builder.add_node("solve", closure(A))
    builder.add_node("judge", closure(A if shared else B))
    builder.add_node("team", graph(closure(C)))
    builder.add_edge(START, "solve")
    builder.add_edge("solve", "judge")
    builder.add_edge("judge", "team")
    return builder.compile()


@task
def ruling(question):
    return B.invoke(question)


@entrypoint()
def with_a_ruling(question):
    return A.invoke(question), ruling(question).result()


COUNTED = {
    "all": (judged(), CallFilter(), "abc"),
    "excluded": (judged(), CallFilter(exclude_nodes=["judge"]), "ac"),
    "excluded with all below": (judged(), CallFilter(exclude_nodes=["judge", "team"]), "a"),
    "excluded below": (judged(), CallFilter(exclude_nodes=["node0"]), "ab"),
    "excluded here, and asked elsewhere": (judged(shared=True), CallFilter(exclude_nodes=["judge"]), "ac"),
    "only": (judged(), CallFilter(nodes=["judge"]), "b"),
    "only what is below": (judged(), CallFilter(nodes=["team"]), "c"),
    "only, further below": (judged(), CallFilter(nodes=["node0"]), "c"),
    "only one, less what is below": (judged(), CallFilter(nodes=["team"], exclude_nodes=["node0"]), ""),
    "met first where it does not count": (judged(shared=True), CallFilter(nodes=["judge"]), "a"),
    "nobody": (judged(), CallFilter(nodes=["nobody"]), ""),
    "in a graph that a node calls": (graph(closure(judged())), CallFilter(exclude_nodes=["judge"]), "ac"),
    "a task": (with_a_ruling, CallFilter(exclude_nodes=["ruling"]), "a"),
    "only a task": (with_a_ruling, CallFilter(nodes=["ruling"]), "b"),
    "a tool node": (create_agent(B, [asks_a]), CallFilter(exclude_nodes=["tools"]), "b"),
    "all but a tool node, by name": (create_agent(B, [asks_a]), CallFilter(nodes=["model"]), "b"),
    "a tool node alone": (create_agent(B, [asks_a]), CallFilter(nodes=["tools"]), "a"),
    "the model node": (create_agent(B, [asks_a]), CallFilter(exclude_nodes=["model"]), "a"),
}


@pytest.mark.parametrize(("agent", "calls", "expected"), COUNTED.values(), ids=COUNTED)
def test_models_whose_calls_do_not_count_are_left_out(agent, calls, expected):
    assert "".join(sorted(names(models_of(agent, calls=calls)))) == expected


class Own(CallFilter):
    def __call__(self, call):
        return call.model == "a"


@pytest.mark.parametrize(
    "calls",
    [
        lambda call: call.node != "judge",
        CallFilter(tags=["solver"]),
        CallFilter(exclude_tags=["judge"]),
        CallFilter(metadata={"role": "solver"}),
        Own(exclude_nodes=["judge"]),
    ],
)
def test_calls_told_by_more_than_their_node(calls):
    with pytest.raises(ConfigError, match="preflight=model"):
        models_of(judged(), calls=calls)
