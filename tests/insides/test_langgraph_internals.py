"""What ``ec_agent/insides/langgraph.py`` relies on, of LangGraph and LangChain: one test each."""

from __future__ import annotations

import asyncio
import operator
import warnings
from inspect import getsource, signature
from typing import Annotated, Any

import kit
import langgraph.channels as channels
import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool
from langgraph._internal import _constants as constants
from langgraph.channels import (
    AnyValue,
    BinaryOperatorAggregate,
    DeltaChannel,
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    Topic,
    UntrackedValue,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config, get_stream_writer
from langgraph.func import task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.pregel import _algo
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send, interrupt
from typing_extensions import TypedDict

from ec_agent.insides import langgraph as internals
from ec_agent.insides.langgraph import RUNTIME
from ec_agent.insides.streams import without_streaming

THREAD = {"configurable": {"thread_id": "t"}}


def config_of_a_task(run, schema=kit.Items, **more):
    """The config a node is given, in a graph of several nodes and edges."""
    seen = []

    def look(state, config):
        seen.append(config)
        return {}

    builder = StateGraph(schema)
    builder.add_node("look", RunnableLambda(look))
    builder.add_node("other", lambda s: {})
    builder.add_node("joined", lambda s: {})
    builder.add_edge(START, "look")
    builder.add_edge(START, "other")
    builder.add_edge(["look", "other"], "joined")
    graph = builder.compile(**{k: v for k, v in more.items() if k == "checkpointer"})
    kwargs = {k: v for k, v in more.items() if k == "config"}
    run.invoke(graph, {"items": []}, **kwargs)
    return seen[0]


def test_inside_graph_recognises_a_task(run):
    assert internals.inside_graph(config_of_a_task(run))
    assert not internals.inside_graph({})
    assert not internals.inside_graph({"configurable": {"thread_id": "t"}})


def test_a_tasks_channels_are_its_graphs_state(run):
    channels = internals.outer_channels(config_of_a_task(run))
    assert set(channels) == {"items", "plain"}
    assert isinstance(channels["items"], BinaryOperatorAggregate)
    assert isinstance(channels["plain"], LastValue)


def test_a_root_state_is_one_channel(run):
    seen = []

    def look(state, config):
        seen.append(internals.outer_channels(config))
        return []

    builder = StateGraph(Annotated[list[Any], operator.add])
    builder.add_node("look", RunnableLambda(look))
    builder.add_edge(START, "look")
    run.invoke(builder.compile(), [])
    assert set(seen[0]) == {internals.ROOT}


def test_the_channels_of_a_nested_graph_are_its_own(run):
    class Inner(TypedDict):
        plain: Any
        own: Any

    seen = []

    def look(state, config):
        seen.append(internals.outer_channels(config))
        return {"own": 1}

    run.invoke(kit.outer(kit.graph(Inner, look=RunnableLambda(look)), kit.Items), {"items": []})
    assert set(seen[0]) == {"plain", "own"}


def test_the_runtime_is_in_the_config(run):
    runtime = config_of_a_task(run)["configurable"][RUNTIME]
    assert isinstance(runtime, Runtime)
    assert callable(runtime.stream_writer)


@pytest.mark.parametrize(
    ("channel", "reduces"),
    [
        (LastValue(str), False),
        (LastValueAfterFinish(str), False),
        (AnyValue(str), False),
        (EphemeralValue(str), False),
        (UntrackedValue(str), False),
        (BinaryOperatorAggregate(list, operator.add), True),
        (DeltaChannel(lambda state, writes: state), True),
        (Topic(str), False),
        (Topic(str, accumulate=True), True),
        (NamedBarrierValue(str, {"a"}), True),
    ],
    ids=lambda c: type(c).__name__,
)
def test_which_channels_accumulate(channel, reduces):
    assert internals.accumulates(channel) is reduces


def test_every_channel_langgraph_has_is_known():
    known = {
        *("BaseChannel", "AnyValue", "LastValue", "LastValueAfterFinish", "UntrackedValue", "EphemeralValue"),
        *("BinaryOperatorAggregate", "DeltaChannel", "NamedBarrierValue", "NamedBarrierValueAfterFinish"),
        "Topic",
    }
    assert set(channels.__all__) == known


@pytest.mark.parametrize(
    ("value", "anew"),
    [
        (Overwrite([1]), True),
        ({"__overwrite__": [1]}, True),
        ({"value": [1], "type": "__overwrite__"}, True),
        ([1], False),
        ({"a": 1}, False),
        (None, False),
    ],
)
def test_which_writes_overwrite(run, value, anew):
    assert internals.overwrites(value) is anew
    if anew:  # and LangGraph agrees
        done = run.invoke(kit.graph(kit.Items, one=lambda s: {"items": value}), {"items": [0]})
        assert done["items"] == [1]


def test_the_users_keys_are_separated(run):
    config = config_of_a_task(
        run,
        checkpointer=InMemorySaver(),
        config={"configurable": {"thread_id": "t", "tenant": "x", "_odd": 1}, "tags": ["mine"]},
    )
    own = internals.own_configurable(config)
    assert own == {"tenant": "x", "_odd": 1}
    assert len(config["configurable"]) > 5  # there was bookkeeping to leave out
    assert internals.own_tags({"tags": ["mine", "seq:step:1", "graph:step:12"]}) == ["mine"]
    assert internals.own_tags({}) == []


def test_a_fresh_thread_id_makes_a_root_run(run):
    """Of an outer run's checkpointing nothing is left in a config with our own keys and another thread."""
    saver = InMemorySaver()
    seen = []
    inner = kit.graph(kit.Items, one=lambda s: seen.append(get_config()) or {"items": [1]})

    def solve(state, config):
        own = {**internals.own_configurable(config), "thread_id": "other"}
        inner.copy({"checkpointer": False}).invoke({"items": []}, {"configurable": own})
        return {}

    graph = kit.outer(RunnableLambda(solve), kit.Items, checkpointer=saver)
    graph.invoke({"items": []}, THREAD)
    assert set(saver.storage) == {"t"}
    assert seen[0]["configurable"]["checkpoint_ns"].count("|") == 0


def handlers_in_a_task(use):
    seen = []

    def look(state, config):
        seen.append(config["callbacks"])
        return {}

    asyncio.run(use(kit.outer(RunnableLambda(look, afunc=_aware(look)), MessagesState)))
    return seen[0]


def _aware(look):
    async def alook(state, config):
        return look(state, config)

    return alook


async def by_messages(graph):
    return [part async for part in graph.astream({"messages": "x"}, stream_mode="messages")]


async def by_events(graph):
    return [event async for event in graph.astream_events({"messages": "x"}, version="v2")]


@pytest.mark.parametrize("use", [by_messages, by_events])
def test_stream_handlers_are_recognised(use):
    manager = handlers_in_a_task(use)
    assert len(manager.handlers) > len(without_streaming(manager).handlers)
    assert len(manager.inheritable_handlers) > len(without_streaming(manager).inheritable_handlers)


def test_the_config_keys_of_streams_exist():
    """A stream with subgraphs leads to nested graphs by a key of the config; another tells version 3 of the events."""
    assert constants.CONFIG_KEY_STREAM == internals.STREAM
    assert constants.CONFIG_KEY_STREAM_MESSAGES_V2 == internals.EVENTS_V3
    graph = kit.graph(MessagesState, one=lambda s: seen.append(get_config()["configurable"]) or {})
    seen = []
    list(graph.stream({"messages": "x"}, stream_mode="values", subgraphs=True))
    assert internals.STREAM in seen[0]
    assert not seen[0].get(internals.EVENTS_V3)
    seen = []
    with warnings.catch_warnings():  # that version 3 is experimental, said once a process
        warnings.simplefilter("ignore")
        list(graph.stream_events({"messages": "x"}, version="v3"))
    assert internals.STREAM in seen[0]
    assert seen[0][internals.EVENTS_V3]
    hidden = internals.out_of_sight({"configurable": seen[0]})["configurable"]
    assert set(seen[0]) - set(hidden) == {internals.STREAM}


def test_a_nested_run_inherits_callbacks_unless_hidden():
    seen = []
    inner = kit.graph(MessagesState, one=lambda s: seen.append(get_config()["callbacks"].handlers) or {})
    mine = BaseCallbackHandler()

    def nested(state):
        inner.invoke(state, {"callbacks": []})
        with internals.no_ambient_run():
            inner.invoke(state, {"callbacks": []})

    kit.graph(MessagesState, one=nested).invoke({"messages": "x"}, {"callbacks": [mine]})
    assert [mine in handlers for handlers in seen] == [True, False]


def test_other_handlers_stay_in_a_copy():
    mine = BaseCallbackHandler()
    manager = CallbackManager(handlers=[mine], inheritable_handlers=[mine])
    bare = without_streaming(manager)
    assert bare is not manager
    assert (bare.handlers, bare.inheritable_handlers) == ([mine], [mine])
    assert without_streaming([mine]) == [mine]
    assert without_streaming(None) == []


def events_of(run, agent, state):
    return run.stream(agent, state, stream_mode="tasks")


def test_task_events_have_triggers_then_a_result(run):
    first, last = events_of(run, kit.graph(kit.Items, one=lambda s: {"items": [1]}), {"items": []})
    assert "triggers" in first
    assert first["id"] == last["id"]
    assert (last["result"], last["name"], last["interrupts"]) == ({"items": [1]}, "one", [])


def test_a_sent_task_is_triggered_by_push(run):
    builder = StateGraph(kit.Items)
    builder.add_node("one", lambda s: {"items": [s["plain"]]})
    builder.add_conditional_edges(START, lambda s: [Send("one", {"plain": i}) for i in range(3)], ["one"])
    events = events_of(run, builder.compile(), {"items": []})
    starts = [e for e in events if "triggers" in e]
    assert [tuple(e["triggers"]) for e in starts] == [("__pregel_push",)] * 3
    assert [e["input"]["plain"] for e in starts] == [0, 1, 2]


def test_a_functional_task_has_a_return_key():
    @task
    def helper():
        return "x"

    events = events_of(kit.Sync(), kit.graph(kit.Items, one=lambda s: {"plain": helper().result()}), {"items": []})
    results = [e["result"] for e in events if "result" in e]
    assert {internals.RETURN: "x"} in results


def test_several_writes_of_a_task_to_one_key_are_folded(run):
    agent = kit.graph(kit.Items, one=lambda s: [Command(update={"items": [i]}) for i in range(2)])
    _, last = events_of(run, agent, {"items": []})
    assert last["result"] == {"items": {"$writes": [[0], [1]]}}


def test_steps_do_not_overlap_in_the_tasks_stream(run):
    """All results of a step come before the first start of the next."""
    builder = StateGraph(kit.Items)
    for name in "abc":
        builder.add_node(name, lambda s, name=name: {"items": [name]})
        builder.add_edge(START, name)
        builder.add_edge(name, "last")
    builder.add_node("last", lambda s: {"items": ["last"]})
    builder.add_edge("last", END)
    kinds = [
        ("start" if "triggers" in e else "end", e["name"]) for e in events_of(run, builder.compile(), {"items": []})
    ]
    assert sorted(kinds[:3]) == [("start", n) for n in "abc"]
    assert sorted(kinds[3:6]) == [("end", n) for n in "abc"]
    assert kinds[6:] == [("start", "last"), ("end", "last")]


def test_langgraphs_idle_stream_writer_is_recognised(run):
    writers = []

    def look(state):
        writers.append(get_stream_writer())
        return {}

    graph = kit.graph(kit.Items, look=look)
    run.invoke(graph, {"items": []})
    run.stream(graph, {"items": []}, stream_mode="values")
    run.stream(graph, {"items": []}, stream_mode="custom")
    run.stream(graph, {"items": []}, stream_mode=["values", "custom"])
    assert [internals.anybody_hears(writer) for writer in writers] == [False, False, True, True]
    assert not internals.anybody_hears(Runtime().stream_writer)
    assert internals.anybody_hears([].append)
    assert internals.anybody_hears(print)


@pytest.mark.parametrize("sent", [False, True])
def test_an_error_handlers_failed_task_is_known(run, sent):
    def fail(state):
        raise ValueError("no")

    builder = StateGraph(kit.Items)
    builder.add_node("fail", fail, error_handler=lambda state: {"items": ["rescued"]})
    if sent:
        builder.add_conditional_edges(START, lambda s: [Send("fail", s)] * 2, ["fail"])
    else:
        builder.add_edge(START, "fail")
    graph, heard = builder.compile(), internals.Rescues()
    assert internals.rescues(graph)
    assert not internals.rescues(kit.graph(kit.Items, one=fail))
    config = {"callbacks": heard.heard_by(None)}
    events = [event for _, event in run.stream(graph, {"items": []}, config, stream_mode=["tasks"])]
    failed = [event["id"] for event in events if event.get("error")]
    rescuing = [event["id"] for event in events if event.get("result")]
    assert len(failed) == 1 + sent
    assert set(heard.of) == set(rescuing)
    assert set(heard.of.values()) == set(failed)


def test_an_error_handler_comes_after_its_task():
    paths = [
        ("__pregel_pull", "a b"),
        ("__pregel_pull", "a"),
        ("__pregel_pull", "a", "node_error_handler", False),
        ("__pregel_pull", "aa"),
        ("__pregel_push", 9, False),
        ("__pregel_push", 9, False, "node_error_handler", False),
        ("__pregel_push", 10, False),
    ]
    places = [
        (0, "a b", 0),
        (0, "a", 0),
        internals.handler_place((0, "a", 0)),
        (0, "aa", 0),
        (1, 9, 0),
        internals.handler_place((1, 9, 0)),
        (1, 10, 0),
    ]
    by_langgraph = sorted(range(7), key=lambda i: _algo.task_path_str(paths[i]))
    assert sorted(range(7), key=lambda i: places[i]) == by_langgraph


@pytest.mark.parametrize("point", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}, {"interrupt_after": "*"}])
def test_a_breakpoint_is_an_interrupt_without_question(run, point):
    def parts(**compiled):
        inner = kit.graph(kit.Items, a=lambda s: {"plain": 1}, b=lambda s: {"plain": 2}).copy(compiled)
        graph = kit.outer(inner, kit.Items, checkpointer=InMemorySaver())
        return [internals.is_breakpoint(p) for p in run.stream(graph, {"items": []}, THREAD, stream_mode="updates")]

    assert parts(**{f"{kind}_nodes": nodes for kind, nodes in point.items()})[-1]
    assert not any(parts())


def test_a_question_is_no_breakpoint(run):
    graph = kit.outer(lambda s: interrupt("?"), kit.Items, checkpointer=InMemorySaver())
    (part,) = run.stream(graph, {"items": []}, THREAD, stream_mode="updates")
    assert part["__interrupt__"][0].value == "?"
    assert not internals.is_breakpoint(part)


def test_double_underscore_keys_are_not_in_metadata(run):
    saver = InMemorySaver()
    config = {"configurable": {"thread_id": "t", internals.BREAKPOINTS: {"interrupt_before": "*"}, "kept": 1}}
    run.invoke(kit.graph(kit.Items, a=lambda s: {"plain": 1}, checkpointer=saver), {"items": []}, config)
    for found in saver.list(None):
        assert "kept" in found.metadata
        assert internals.BREAKPOINTS not in found.metadata


def test_an_added_schema_adds_hidden_keys():
    class Shown(TypedDict):
        shown: str

    class Both(Shown):
        hidden: str

    made, builder = StateGraph(Shown), StateGraph(Shown)
    made.add_node("any", lambda state: {}, input_schema=Both)
    assert internals.with_private_keys(StateGraph(Shown), StateGraph(Shown)) is Shown
    schema = internals.with_private_keys(builder, made)
    builder.add_node("only", lambda state: {"shown": f"{sorted(state)}", "hidden": "now"}, input_schema=schema)
    builder.add_edge(START, "only")
    graph = builder.compile(checkpointer=InMemorySaver())
    assert graph.invoke({"shown": "a"}, kit.THREAD) == {"shown": "['shown']"}
    assert graph.invoke({"shown": "b"}, kit.THREAD) == {"shown": "['hidden', 'shown']"}
    assert graph.get_input_jsonschema()["properties"].keys() == {"shown"}


def test_a_tool_checks_its_arguments_first():
    assert list(signature(BaseTool._parse_input).parameters) == ["self", "tool_input", "tool_call_id"]
    assert "self._parse_input(" in getsource(BaseTool._to_args_and_kwargs)


def test_tasks_and_commands_expose_what_we_read():
    made = task(len)
    assert isinstance(made, internals.TaskFunction)
    assert made.func is len
    assert internals.pairs_of(Command(update={"a": 1, "b": 2})) == [("a", 1), ("b", 2)]
    assert internals.pairs_of(Command(update="all")) == [("__root__", "all")]
