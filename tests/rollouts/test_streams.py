"""What can be watched of a run: progress, the winner's message; and what must not be seen."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler, dispatch_custom_event
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import MessagesState

from ec_agent import Selection, best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # rollout 1 wins


class NeverStreams(ScriptedChatModel):
    """What a server that refuses logprobs in streams looks like."""

    def _stream(self, *args, **kwargs):
        raise AssertionError("asked to stream")

    async def _astream(self, *args, **kwargs):
        raise AssertionError("asked to stream")
        yield


def never_streams(*peaks):
    return NeverStreams([[Reply(f"answer {i}", entropies=kit.peak(at))] for i, at in enumerate(peaks)])


FORMS = {
    "as a node": lambda agent, **options: kit.outer(best_of_n(agent, **options)),
    "alone": lambda agent, **options: best_of_n(agent, **options),
    "as a subgraph": lambda agent, **options: kit.outer(best_of_n(agent, **options).as_agent()),
    "from a function node": lambda agent, **options: kit.graph(
        MessagesState,
        solve=(
            lambda s: best_of_n(agent, **options).invoke(s),
            lambda s: best_of_n(agent, **options).ainvoke(s),
        ),
    ),
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@forms
def test_custom_shows_progress_and_selection(run, form):
    graph = form(kit.chat(kit.say(*PEAKS)), n=3)
    modes = {"stream_mode": "custom"}
    parts = run.stream(graph, {"messages": "go"}, **modes, **_deep(form))
    events = [part[1] if isinstance(part, tuple) else part for part in parts]
    count = Counter(event["type"] for event in events)
    assert count == {
        "ec_agent.rollout.started": 3,
        "ec_agent.rollout.call": 6,  # its start and its end
        "ec_agent.rollout.finished": 3,
        "ec_agent.rollout.scored": 3,
        "ec_agent.selection": 1,
    }
    assert [e["type"] for e in events[-4:]] == ["ec_agent.rollout.scored"] * 3 + ["ec_agent.selection"]
    for index in range(3):
        own = [e for e in events if e.get("index") == index]
        assert [e["type"].split(".")[-1] for e in own] == ["started", "call", "call", "finished", "scored"]
        finished, scored = own[3:]
        assert finished["error"] is None
        assert finished["seconds"] >= 0
        assert (scored["score"], scored["reason"]) == (kit.centroid(PEAKS[index]), None)
    selection = Selection.from_dict(events[-1]["selection"])
    assert (selection.winner, len(selection.candidates)) == (1, 3)


def _deep(form):
    """Custom events of a subgraph are streamed with its subgraphs only."""
    return {"subgraphs": True} if form is FORMS["as a subgraph"] else {}


def test_a_failed_rollout_is_shown_as_such(run):
    model = ScriptedChatModel([[Reply(error=LookupError("lost"))], [Reply("x", entropies=kit.peak(3))]])
    events = run.stream(kit.outer(best_of_n(kit.chat(model), n=2)), {"messages": "go"}, stream_mode="custom")
    finished = {e["index"]: e["error"] for e in events if e["type"].endswith("finished")}
    assert finished == {0: "LookupError: lost", 1: None}
    scored = {e["index"]: e["reason"] for e in events if e["type"].endswith("scored")}
    assert scored == {0: "failed", 1: None}


@forms
def test_messages_show_only_the_winner_once(run, form):
    graph = form(kit.chat(kit.say(*PEAKS)), n=3)
    parts = run.stream(graph, {"messages": "go"}, stream_mode="messages", **_deep(form))
    shown = [part[1][0] if _deep(form) else part[0] for part in parts]
    assert [message.content for message in shown] == ["answer 1"]
    assert shown[0].id


@read_only
@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_messages_show_the_winners_tool_messages_too(run):
    model = ScriptedChatModel(
        [
            [
                Reply(f"so {i}", tool_calls=[("add", {"a": i, "b": i})], entropies=kit.peak(at)),
                Reply(f"answer {i}", entropies=[0.1] * 9),
            ]
            for i, at in enumerate(PEAKS)
        ]
    )
    graph = kit.outer(best_of_n(create_agent(model, [add]), n=3))
    shown = [message for message, _ in run.stream(graph, {"messages": "go"}, stream_mode="messages")]
    assert [m.content for m in shown] == ["so 1", "2", "answer 1"]


@forms
@pytest.mark.parametrize("mode", ["messages", "values", "updates", "custom", "debug", "tasks"])
def test_no_stream_mode_forces_the_models_to_stream(run, form, mode):
    graph = form(kit.chat(never_streams(*PEAKS)), n=3)
    assert run.stream(graph, {"messages": "go"}, stream_mode=mode, subgraphs=True)


@forms
def test_subgraph_streams_show_no_loser(run, form):
    graph = form(kit.chat(kit.say(*PEAKS)), n=3)
    parts = run.stream(graph, {"messages": "go"}, stream_mode="messages", subgraphs=True)
    assert {m.content for _, (m, _) in parts} == {"answer 1"}


async def events_of(graph, **kwargs):
    return [event async for event in graph.astream_events({"messages": "go"}, version="v2", **kwargs)]


@forms
def test_astream_events_forces_no_streaming(form):
    events = asyncio.run(events_of(form(kit.chat(never_streams(*PEAKS)), n=3)))
    assert not [e for e in events if "stream" in e["event"] and e["event"].startswith("on_chat_model")]
    assert events[-1]["event"] == "on_chain_end"


@forms
def test_astream_events_has_the_selection(form):
    events = asyncio.run(events_of(form(kit.chat(kit.say(*PEAKS)), n=3)))
    custom = [e for e in events if e["event"] == "on_custom_event"]
    assert [e["name"] for e in custom] == ["ec_agent.selection"]
    assert Selection.from_dict(custom[0]["data"]).winner == 1


def answers_among(events):
    return [e["data"]["output"].content for e in events if e["event"] == "on_chat_model_end"]


@forms
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "only",
    [
        {"include_types": ["chat_model"]},
        {"exclude_types": ["chain"]},
        {"include_names": ["scripted"]},
        {"exclude_names": ["best_of_n", "LangGraph", "solve"]},
    ],
    ids=lambda only: next(iter(only)),
)
def test_event_streams_may_leave_kinds_of_events_out(form, version, only):
    async def watch(graph):
        return [event async for event in graph.astream_events({"messages": "go"}, version=version, **only)]

    events = asyncio.run(watch(form(kit.chat(kit.say(*PEAKS)), n=3)))
    ends = [e for e in events if e["event"] == "on_chat_model_end"]
    assert len(ends) == 1
    assert "answer 1" in str(ends)
    assert not {"answer 0", "answer 2"} & set(re.findall(r"answer \d", str(events)))


@pytest.mark.parametrize("call", ["invoke", "as_agent", "batch"])
def test_a_sync_node_in_an_async_graph_shows_the_winner(call):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    calls = {
        "invoke": node.invoke,
        "as_agent": lambda state: {"messages": node.as_agent().invoke(state)["messages"][1:]},
        "batch": lambda state: node.batch([state])[0],
    }
    events = asyncio.run(events_of(kit.graph(MessagesState, solve=calls[call])))
    assert answers_among(events) == ["answer 1"]
    assert [e["name"] for e in events if e["event"] == "on_custom_event"] == ["ec_agent.selection"]
    assert not {"answer 0", "answer 2"} & set(re.findall(r"answer \d", str(events)))


def test_a_listener_cannot_change_the_receipt(run):
    class Spoils(BaseCallbackHandler):
        def on_custom_event(self, name, data, **kwargs):
            data.clear()

    def spoil(event):
        event.get("selection", {}).clear()

    result = run.run(
        best_of_n(kit.chat(kit.say(*PEAKS)), n=3), {"messages": "go"}, {"callbacks": [Spoils()]}, on_event=spoil
    )
    assert result.selection.winner == 1
    assert len(result.selection.candidates) == 3


class Ear(BaseCallbackHandler):
    def __init__(self):
        self.custom = []
        self.models = 0

    def on_custom_event(self, name, data, **kwargs):
        self.custom.append((name, data))

    def on_chat_model_start(self, *args, **kwargs):
        self.models += 1


@forms
def test_the_selection_reaches_a_callback_handler(run, form):
    ear = Ear()
    run.invoke(form(kit.chat(kit.say(*PEAKS)), n=3), {"messages": "go"}, {"callbacks": [ear]})
    assert [name for name, _ in ear.custom] == ["ec_agent.selection"]
    assert Selection.from_dict(ear.custom[0][1]).winner == 1
    assert ear.models == 3  # a user's own handlers, tracers among them, see the rollouts


def test_the_agents_custom_events_do_not_leak(run):
    model = kit.say(*PEAKS)

    def chatty(state):
        get_stream_writer()({"type": "loser's business"})
        return {"messages": [model.invoke("?")]}

    for agent in (chatty, kit.graph(MessagesState, one=chatty)):
        graph = kit.outer(best_of_n(agent, n=3))
        for deep in (False, True):
            parts = run.stream(graph, {"messages": "go"}, stream_mode="custom", subgraphs=deep)
            assert "loser" not in str(parts)


def test_the_agents_callback_events_stay_hidden():
    model = kit.say(*PEAKS)

    def chatty(state):
        dispatch_custom_event("agents_own", {"index": kit.rollout_index()})
        return {"messages": [model.invoke("?")]}

    graph = kit.outer(best_of_n(kit.graph(MessagesState, one=chatty), n=3))
    events = asyncio.run(events_of(graph))
    assert {e["name"] for e in events if e["event"] == "on_custom_event"} == {"ec_agent.selection"}


def test_the_outer_values_show_only_the_winner(run):
    graph = kit.outer(best_of_n(kit.chat(kit.say(*PEAKS)), n=3))
    states = run.stream(graph, {"messages": "go"}, stream_mode="values")
    assert [kit.answers(state["messages"]) for state in states] == [[], ["answer 1"]]


def test_a_streaming_model_is_scored_and_hidden(run):
    """A node that streams its model gives whole logprobs, and no token leaves the rollout."""
    model = kit.say(*PEAKS)

    def call(state):
        whole = None
        for chunk in model.stream(state["messages"]):
            whole = chunk if whole is None else whole + chunk
        return {"messages": [whole]}

    async def acall(state):
        whole = None
        async for chunk in model.astream(state["messages"]):
            whole = chunk if whole is None else whole + chunk
        return {"messages": [whole]}

    agent = kit.graph(MessagesState, one=(call, acall))
    graph = kit.outer(best_of_n(agent, n=3))
    shown = [m.content for m, _ in run.stream(graph, {"messages": "go"}, stream_mode="messages")]
    assert shown == ["answer 1"]
    result = run.run(best_of_n(agent, n=3), {"messages": "go"})
    assert [t.centroid() for t in result.trajectories] == [kit.centroid(at) for at in PEAKS]
