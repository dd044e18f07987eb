"""A function finds and leaves in the short box what it finds and leaves in a ``StateGraph`` of one node."""

from __future__ import annotations

import asyncio
import functools
import re
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.runnables import RunnableConfig, RunnableLambda, ensure_config
from langchain_core.tracers.context import register_configure_hook
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store, get_stream_writer
from langgraph.func import task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from ec_agent.insides.box import input_of_box, places_of_box, shortened, unheard
from ec_agent.insides.langgraph import BOX_IN, BOX_NODE, BOX_OUT
from ec_agent.testing import Reply, ScriptedChatModel

Box = TypedDict("Box", {BOX_IN: Any, BOX_OUT: Any}, total=False)
RANDOM = r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{32}\b|0x[0-9a-f]+|lc_run--\S+"
MODES = ["tasks", "values", "updates", "custom"]


class Listener(BaseCallbackHandler):
    """Notes with which tags and metadata models are called, and the names of runs around them."""

    run_inline = True

    def __init__(self):
        self.calls, self.names, self.tags = [], [], []

    def on_chat_model_start(self, serialized, messages, *, tags=None, metadata=None, **kwargs):
        named = {key: value for key, value in metadata.items() if not key.startswith("ls_")}
        self.calls.append((sorted(tags or []), sorted(named.items())))

    def on_chain_start(self, serialized, inputs, *, name=None, tags=None, **kwargs):
        self.names.append(name)
        self.tags.append(sorted(tags or []))


hook: ContextVar[BaseCallbackHandler | None] = ContextVar("test_box_hook", default=None)
register_configure_hook(hook, inheritable=True)


@contextmanager
def here(*values):
    tokens = [(variable, variable.set(value)) for variable, value in values]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def looks(config: RunnableConfig) -> Any:
    """What a function may find in its config, and around itself."""
    conf = dict(config["configurable"])
    kept = {key: conf[key] for key in ("mine", "thread_id") if key in conf}
    return {
        "keys": sorted(conf),
        "kept": kept,
        "metadata": sorted(config["metadata"].items()),
        "tags": config["tags"],
        "others": sorted(set(config) - {"configurable", "metadata", "tags"}),
        "limit": config.get("recursion_limit"),
        "callbacks": isinstance(config["callbacks"], BaseCallbackManager),
        "around": sorted((ensure_config()["configurable"] or {}).keys()),
        "ambient": sorted(ensure_config()["metadata"].items()),
    }


def with_config(state, config: RunnableConfig):
    return looks(config)


async def awith_config(state, config: RunnableConfig):
    await asyncio.sleep(0)
    return looks(config)


def with_runtime(state, runtime: Runtime, *, store, writer):
    writer({"said": state})
    get_stream_writer()("again")
    store.put(("here",), "key", {"state": state})
    info = runtime.execution_info
    return [runtime.context, get_store() is store, info.thread_id, info.checkpoint_ns, info.node_attempt]


def with_model(state, config: RunnableConfig):
    model = ScriptedChatModel(lambda messages, index: Reply("x"))
    return [model.invoke("given", config).content, model.invoke("ambient").content]


async def awith_model(state, config: RunnableConfig):
    model = ScriptedChatModel(lambda messages, index: Reply("x"))
    return [(await model.ainvoke("given", config)).content, (await model.ainvoke("ambient")).content]


def with_graph(state):
    builder = StateGraph(MessagesState)
    builder.add_node("inner", lambda state, config: {"messages": [("ai", str(looks(config)["metadata"]))]})
    builder.add_edge(START, "inner")
    return [message.content for message in builder.compile().invoke({"messages": "go"})["messages"]]


@task
def doubled(number):
    return number * 2


def with_task(state):
    return doubled(4).result() + doubled(5).result()


def failing(state):
    raise ValueError("it fails")


def asking(state):
    return [interrupt("one?"), interrupt("two?")]


def nothing(state):
    return None


FUNCTIONS = {
    each.__name__: each
    for each in (with_config, with_runtime, with_model, with_graph, with_task, failing, asking, nothing)
}
ASYNC = {each.__name__: each for each in (awith_config, awith_model)}


def box_of(function):
    """A box as agents have it: the wrapper keeps the signature, by which LangGraph injects."""
    if isinstance(function, RunnableLambda):
        node = RunnableLambda(lambda state, config: {BOX_OUT: function.invoke(state[BOX_IN], config)}, name="mine")
    elif asyncio.iscoroutinefunction(function):

        @functools.wraps(function)
        async def node(state, *args, **kwargs):
            return {BOX_OUT: await function(state[BOX_IN], *args, **kwargs)}
    else:

        @functools.wraps(function)
        def node(state, *args, **kwargs):
            return {BOX_OUT: function(state[BOX_IN], *args, **kwargs)}

    builder = StateGraph(Box)
    builder.add_node(BOX_NODE, node, input_schema=Box)
    builder.add_edge(START, BOX_NODE)
    builder.add_edge(BOX_NODE, END)
    return builder


def compiled(function, **options):
    """The box as ``StateGraph`` makes it, and the short one."""
    return box_of(function).compile(name="box", **options), shortened(box_of(function).compile(name="box", **options))


def streamed(graph, given, run):
    config = {"configurable": {"thread_id": "t", "mine": 1}, "tags": ["tag"], "metadata": {"of": "mine"}}

    async def wait():
        options = {"stream_mode": MODES, "subgraphs": True, "output_keys": [BOX_OUT], "context": {"n": 4}}
        return [each async for each in graph.astream(given, config, **options)]

    try:
        if run == "async":
            found = asyncio.run(wait())
        else:
            options = {"stream_mode": MODES, "subgraphs": True, "output_keys": [BOX_OUT], "context": {"n": 4}}
            found = list(graph.stream(given, config, **options))
    except ValueError as error:
        return [((), repr(error), error.__notes__)]
    return found


def plain(found):
    """What was streamed, without random ids, and without what only the left-out step gives."""
    text = [re.sub(RANDOM, "#", repr(each)) for each in found if not (each[1] == "values" and not each[2])]
    return [each for each in text if "'__start__'" not in each]


def in_both(function, run, quiet, saved=False):
    """What comes out of the two boxes, and what a handler hears of models in them."""
    whole, _ = compiled(function, store=InMemoryStore(), checkpointer=InMemorySaver() if saved else None)
    _, short = compiled(function, store=InMemoryStore(), checkpointer=InMemorySaver() if saved else None)
    found = []
    for graph, given, silent in (whole, {BOX_IN: "go"}, False), (short, input_of_box("go"), quiet):
        listener = Listener()
        with here((hook, listener), (unheard, silent)):
            found.append((plain(streamed(graph, given, run)), re.sub(RANDOM, "#", repr(listener.calls))))
            if saved:
                found[-1] += (plain(streamed(graph, Command(resume="yes"), run)),)
                found[-1] += (plain(streamed(graph, Command(resume="no"), run)),)
        runs = zip(listener.names, listener.tags, strict=True)
        found[-1] += ([(name, *tags) for name, tags in runs if name not in ("__start__",)] if not quiet else [],)
    return found


@pytest.mark.parametrize("quiet", [True, False], ids=["unheard", "heard"])
@pytest.mark.parametrize("run", ["sync", "async"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_finds_and_leaves_the_same(name, run, quiet):
    whole, short = in_both(FUNCTIONS[name], run, quiet)
    assert short == whole


@pytest.mark.parametrize("quiet", [True, False], ids=["unheard", "heard"])
@pytest.mark.parametrize("name", ASYNC)
def test_an_async_function_finds_and_leaves_the_same(name, quiet):
    whole, short = in_both(ASYNC[name], "async", quiet)
    assert short == whole


@pytest.mark.parametrize("quiet", [True, False], ids=["unheard", "heard"])
@pytest.mark.parametrize("run", ["sync", "async"])
@pytest.mark.parametrize("name", ["with_config", "with_model", "failing"])
def test_a_runnable_finds_and_leaves_the_same(name, run, quiet):
    whole, short = in_both(RunnableLambda(FUNCTIONS[name], name=name), run, quiet)
    assert short == whole


@pytest.mark.parametrize("quiet", [True, False], ids=["unheard", "heard"])
@pytest.mark.parametrize("run", ["sync", "async"])
@pytest.mark.parametrize("name", ["asking", "with_config"])
def test_a_function_goes_on_from_its_question_with_the_answer(name, run, quiet):
    whole, short = in_both(FUNCTIONS[name], run, quiet, saved=True)
    assert short == whole


@pytest.mark.parametrize("run", ["sync", "async"])
def test_a_question_that_was_saved_by_the_longer_box_is_answered_in_the_short_one(run):
    saver = InMemorySaver()
    whole, short = compiled(asking, checkpointer=saver)
    streamed(whole, {BOX_IN: "go"}, run)
    streamed(short, Command(resume="yes"), run)
    assert plain(streamed(short, Command(resume="no"), run))[-1] == "((), 'values', {'ec_agent_out': ['yes', 'no']})"


def test_where_nothing_is_heard_no_run_is_made_around_the_function():
    _, short = compiled(nothing)
    made = {}
    for quiet in (True, False):
        listener = Listener()
        with here((hook, listener), (unheard, quiet)):
            streamed(short, input_of_box("go"), "sync")
        made[quiet] = listener.names
    assert made == {True: ["box"], False: ["box", "function"]}


def test_with_one_place_for_tasks_a_function_that_calls_one_comes_to_its_end():
    _, short = compiled(with_task)
    config, said = {"max_concurrency": places_of_box(1)}, []

    def ask():
        said.extend(short.stream(input_of_box("go"), config, stream_mode=["updates"], subgraphs=True))

    thread = threading.Thread(target=ask, daemon=True)  # it would wait for ever
    thread.start()
    thread.join(60)
    assert said[-1] == ((), "updates", {BOX_NODE: {BOX_OUT: 18}})
