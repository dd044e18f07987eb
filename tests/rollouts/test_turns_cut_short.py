"""Turns that do not run through: asked, stopped at an action, broken off, killed. Only a winner is ever remembered."""

from __future__ import annotations

from typing import Annotated

import kit
import mailing
import pytest
import turns
from kit import THREAD
from langchain.agents import create_agent
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt
from test_turns_remembered import around, lasting, three

from ec_agent import LowestCentroid, MemoryWarning, best_of_n
from ec_agent.rollouts.parking import Parking

EVERY = pytest.mark.parametrize("form", [turns.subgraph, turns.in_a_tool, turns.itself, turns.functional])
GROWING = ["red/1", "red/1 green/1", "red/1 green/1 blue/1"]


def asking():
    """It asks in the middle of the graph that remembers."""

    def ask(state):
        return {"heard": [f"told {interrupt(state['text'])}"]}

    sub = kit.graph(turns.Heard, hear=turns.hear, sue=ask, tell=turns.tell, checkpointer=True)
    return kit.graph(turns.Talk, sub=sub)


@pytest.mark.parametrize("point", [{}, {"interrupt_after_nodes": ["hear"]}], ids=["a question", "a breakpoint, too"])
def test_a_turn_with_a_question(run, point):
    def drive(agent, saver):
        graph, replies = around(agent, saver), []
        for text in ("red", "green", "blue"):
            done = run.invoke(graph, {"text": text}, THREAD)
            if point:
                done = run.invoke(graph, None, THREAD)
            (asked,) = done["__interrupt__"]
            replies.append(run.invoke(graph, Command(resume=f"yes to {asked.value}"), THREAD)["reply"])
        return replies

    def make():
        agent = asking()
        for inner in agent.get_subgraphs():
            for name, value in point.items():
                setattr(inner[1], name, value)
        return agent

    ours = InMemorySaver()
    expected = drive(make(), InMemorySaver())
    assert expected[-1].endswith("blue/1 told yes to blue")
    assert drive(best_of_n(make(), n=3), ours) == expected
    assert lasting(ours) == (["", "solve|sub"], {"t"})


def broken():
    """A selector that does not work once."""
    calls = []

    class Broken(LowestCentroid):
        def select(self, candidates):
            calls.append(1)
            if len(calls) == 1:
                raise OSError("broken")
            return super().select(candidates)

    return Broken()


@EVERY
def test_a_break_before_the_choice_leaves_no_memory(run, form):
    saver, selector = InMemorySaver(), broken()
    graph = around(best_of_n(form(), n=3, selector=selector), saver)
    with pytest.raises(OSError, match="broken"):
        run.invoke(graph, {"text": "red"}, THREAD)
    assert lasting(saver)[0] == [""]
    assert run.invoke(graph, None, THREAD)["reply"] == "red/1"
    assert run.invoke(graph, {"text": "green"}, THREAD)["reply"] == "red/1 green/1"
    assert lasting(saver)[1] == {"t"}


@EVERY
@pytest.mark.parametrize("times", [0, 1], ids=["before the losers are forgotten", "after"])
def test_a_break_after_writing_does_not_write_twice(run, form, times, monkeypatch):
    saver, clear, calls = InMemorySaver(), Parking.clear, []

    def clearing(self, threads, *, forget=True):
        if forget:
            calls.append(len(calls))
        if forget and calls[-1] == 0:
            if times:
                yield from clear(self, threads, forget=forget)
            raise OSError("killed")
        yield from clear(self, threads, forget=forget)

    monkeypatch.setattr(Parking, "clear", clearing)
    graph = around(best_of_n(form(), n=3), saver)
    with pytest.raises(OSError, match="killed"):
        run.invoke(graph, {"text": "red"}, THREAD)
    (kept,) = (name for name in lasting(saver)[0] if name)
    before = [each.checkpoint["id"] for each in saver.list({"configurable": {"thread_id": "t", "checkpoint_ns": kept}})]
    assert len(before) == 1
    assert run.invoke(graph, None, THREAD)["reply"] == "red/1"
    after = [each.checkpoint["id"] for each in saver.list({"configurable": {"thread_id": "t", "checkpoint_ns": kept}})]
    assert after == before
    assert run.invoke(graph, {"text": "green"}, THREAD)["reply"] == "red/1 green/1"
    assert lasting(saver)[1] == {"t"}


@EVERY
def test_a_run_never_resumed_leaves_nothing(run, form):
    saver = InMemorySaver()
    run.invoke(around(best_of_n(form(), n=3), saver), {"text": "red"}, THREAD)
    with pytest.raises(OSError, match="broken"):
        run.invoke(around(best_of_n(form(), n=3, selector=broken()), saver), {"text": "lost"}, THREAD)
    assert run.invoke(around(best_of_n(form(), n=3), saver), {"text": "green"}, THREAD)["reply"] == "red/1 green/1"


@EVERY
def test_memory_is_written_only_at_the_end(run, form):
    """With durability "exit" LangGraph writes nothing before."""
    graph = around(best_of_n(form(), n=3), InMemorySaver())
    with pytest.warns(match="durability"):
        replies = [run.invoke(graph, {"text": t}, THREAD, durability="exit")["reply"] for t in ("red", "green", "blue")]
    assert replies == GROWING


def grown(left, right):
    return [*left, *(item for write in right for item in write)]


class Deltas(turns.Talk):
    heard: Annotated[list[str], DeltaChannel(grown, snapshot_frequency=4)]


def test_a_memory_stored_as_differences(run):
    def agent():
        return kit.graph(turns.Talk, sub=kit.graph(Deltas, hear=turns.hear, tell=turns.tell, checkpointer=True))

    expected = three(run, around(agent(), InMemorySaver()))
    assert expected == GROWING
    saver = InMemorySaver()
    graph = around(best_of_n(agent(), n=3), saver)
    assert three(run, graph) == expected
    more = [run.invoke(graph, {"text": f"{i}"}, THREAD)["reply"] for i in range(6)]
    assert more[-1] == " ".join([*GROWING[-1].split(), *(f"{i}/1" for i in range(6))])
    assert lasting(saver)[1] == {"t"}


def mailer(post, saver=None):
    """The graph that acts is the one that remembers."""
    said = mailing.script(["no"], [[("send", {"to": "bob"})], "sent it"])
    sub = create_agent(said, [post.send], checkpointer=True)

    def call(state):
        return {"messages": sub.invoke({"messages": [state["messages"][-1]]})["messages"][1:]}

    async def acall(state):
        return {"messages": (await sub.ainvoke({"messages": [state["messages"][-1]]}))["messages"][1:]}

    return kit.graph(MessagesState, call=(call, acall), checkpointer=saver)


def remembered(saver):
    where = {"configurable": {"thread_id": "t", "checkpoint_ns": "solve|call"}}
    found = saver.get_tuple(where)
    return found and [m.content for m in found.checkpoint["channel_values"]["messages"]]


def test_an_executed_commits_memory_is_kept(run, post):
    saver = InMemorySaver()
    node = best_of_n(mailer(post), n=2, commit=[post.send], on_commit="execute", continue_after_commit=True)
    run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert remembered(saver) == ["go", "", "sent bob", "sent it"]
    assert post.sent == [("bob", 1)]


def test_a_subgraph_at_a_routed_call_warns(run, post):
    saver = InMemorySaver()
    graph = kit.outer(best_of_n(mailer(post), n=2, commit=[post.send]), checkpointer=saver)
    with pytest.warns(MemoryWarning, match=r"the subgraph 'call'.*on_commit='execute'"):
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert remembered(saver) is None


def test_a_function_around_a_remembering_graph_warns(run):
    inner = turns.subgraph(InMemorySaver())

    def agent(state, config):
        return inner.invoke(state, config)

    with pytest.warns(MemoryWarning, match="Pass the graph itself"):
        run.invoke(best_of_n(agent, n=3), {"text": "red"}, THREAD)
