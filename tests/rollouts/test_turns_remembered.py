"""Three turns of a thread: what the agent alone remembers, it remembers through best_of_n, and of the winner alone."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, contextmanager

import kit
import pytest
import turns
from kit import SAME, THREAD
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ec_agent import best_of_n

SAID = ("red", "green", "blue")


def around(agent, saver):
    return kit.outer(agent, turns.Talk, checkpointer=saver)


def lasting(saver):
    """The namespaces of a thread that last over turns, and what threads there are."""
    found = list(saver.list(None))
    places = [each.config["configurable"] for each in found]
    namespaces = {place["checkpoint_ns"] for place in places if place["thread_id"] == "t"}
    return sorted(name for name in namespaces if ":" not in name), {place["thread_id"] for place in places}


def three(run, graph):
    return [run.invoke(graph, {"text": text}, THREAD)["reply"] for text in SAID]


@pytest.mark.parametrize("form", turns.AS_NODES, ids=lambda form: form.__name__)
def test_as_a_node(run, form):
    alone, ours = InMemorySaver(), InMemorySaver()
    expected = three(run, around(form(), alone))
    assert expected[-1].split()[0] in ("red/1", "2")
    assert three(run, around(best_of_n(form(), n=3), ours)) == expected
    assert lasting(ours) == lasting(alone)
    ours.delete_thread("t")
    assert list(ours.list(None)) == []


@pytest.mark.parametrize("form", turns.ALONE, ids=lambda form: form.__name__)
def test_standing_alone(run, form):
    expected = three(run, form(InMemorySaver()))
    saver = InMemorySaver()
    node = best_of_n(form(saver), n=3)
    assert three(run, node) == expected
    assert lasting(saver)[1] == {"t"}
    assert run.run(node, {"text": "more"}, THREAD).output["reply"].endswith("more/1") or form is turns.two


@pytest.mark.parametrize("form", [turns.subgraph, turns.nested, turns.in_a_tool, turns.functional])
def test_turns_with_and_without_best_of_n_mix(run, form):
    expected = three(run, form(InMemorySaver()))[:2]
    saver = InMemorySaver()
    replies = [run.invoke(form(saver), {"text": "red"}, THREAD)["reply"]]
    replies.append(run.invoke(best_of_n(form(saver), n=3), {"text": "green"}, THREAD)["reply"])
    assert replies == expected
    if form is not turns.functional:
        assert run.invoke(form(saver), {"text": "blue"}, THREAD)["reply"].split() == ["red/1", "green/1", "blue/1"]


@SAME
@pytest.mark.parametrize("form", [turns.subgraph, turns.in_a_tool, turns.functional])
def test_in_a_nested_best_of_n(run, form):
    expected, saver = three(run, around(form(), InMemorySaver())), InMemorySaver()
    agent = kit.graph(turns.Talk, inner=best_of_n(form(), n=3))
    assert three(run, around(best_of_n(agent, n=2), saver)) == expected
    assert lasting(saver)[1] == {"t"}


@contextmanager
def sqlite_saver(path):
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        yield SqliteSaver(connection)
    finally:
        connection.close()


@asynccontextmanager
async def async_sqlite_saver(path):
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        yield saver


FORMS = pytest.mark.parametrize("form", [turns.lasting_in_lasting, turns.functional, turns.in_a_tool, turns.itself])


@pytest.mark.members(2)
@FORMS
@pytest.mark.parametrize("alone", [False, True], ids=["as a node", "standing alone"])
def test_each_turn_in_another_process(tmp_path, form, alone):
    expected = three(kit.Sync(), around(form(), InMemorySaver()))
    replies = []
    for text in SAID:
        with sqlite_saver(tmp_path / "saver.sqlite") as saver:
            graph = best_of_n(form(saver), n=3) if alone else around(best_of_n(form(), n=3), saver)
            replies.append(graph.invoke({"text": text}, THREAD)["reply"])
            assert lasting(saver)[1] == {"t"}
    assert replies == expected


@pytest.mark.members(2)
@FORMS
@pytest.mark.parametrize("alone", [False, True], ids=["as a node", "standing alone"])
def test_each_turn_in_another_async_process(tmp_path, form, alone):
    expected = three(kit.Sync(), around(form(), InMemorySaver()))

    async def turn(text):
        async with async_sqlite_saver(tmp_path / "saver.sqlite") as saver:
            graph = best_of_n(form(saver), n=3) if alone else around(best_of_n(form(), n=3), saver)
            return (await graph.ainvoke({"text": text}, THREAD))["reply"]

    assert [asyncio.run(turn(text)) for text in SAID] == expected


@pytest.mark.parametrize("form", [turns.subgraph, turns.itself, turns.functional])
def test_without_a_checkpointer_nothing_is_remembered(run, form):
    assert (
        three(run, around(form(), None))
        == three(run, around(best_of_n(form(), n=3), None))
        == [
            "red/1",
            "green/1",
            "blue/1",
        ]
    )


@pytest.mark.parametrize("form", [turns.subgraph, turns.functional])
def test_another_thread_has_another_memory(run, form):
    graph = around(best_of_n(form(), n=3), InMemorySaver())
    three(run, graph)
    other = {"configurable": {"thread_id": "other"}}
    assert run.invoke(graph, {"text": "new"}, other)["reply"] == "new/1"
    assert run.invoke(graph, {"text": "more"}, THREAD)["reply"] == "red/1 green/1 blue/1 more/1"


@pytest.mark.parametrize("form", [turns.subgraph, turns.functional])
def test_going_back_restores_the_earlier_memory(run, form):
    replies = []
    for agent in (form(), best_of_n(form(), n=3)):
        graph = around(agent, InMemorySaver())
        run.invoke(graph, {"text": "red"}, THREAD)
        after_red = graph.get_state(THREAD).config
        run.invoke(graph, {"text": "green"}, THREAD)
        replies.append(run.invoke(graph, {"text": "blue"}, after_red)["reply"])
    assert replies[0] == replies[1]


@pytest.mark.parametrize("form", [turns.subgraph, turns.itself, turns.functional])
@pytest.mark.parametrize("turn", [0, 1])
def test_a_replayed_turn_knows_nothing_later(run, form, turn):
    replies = []
    for agent in (form(), best_of_n(form(), n=3)):
        graph = around(agent, InMemorySaver())
        three(run, graph)
        before = [state.config for state in graph.get_state_history(THREAD) if state.next == ("solve",)][::-1]
        replies.append(run.invoke(graph, None, before[turn])["reply"])
    assert replies == [["red/1", "red/1 green/1"][turn]] * 2


@pytest.mark.parametrize("form", [turns.subgraph, turns.functional])
def test_two_calls_in_one_turn(run, form):
    """A node that is come to twice, and one that asks twice."""

    def twice(agent):
        def call(state):
            return [agent.invoke({"text": state["text"] + mark}) for mark in ("", "!")][-1]

        return call

    def drive(agent):
        graph = around(agent, InMemorySaver())
        return three(run, graph)

    if run.name == "sync":
        assert drive(twice(best_of_n(form(), n=3))) == ["red!/1", "red!/1 green!/1", "red!/1 green!/1 blue!/1"]
    graph = kit.graph(turns.Talk, one=best_of_n(form(), n=3), two=best_of_n(form(), n=3), checkpointer=InMemorySaver())
    assert three(run, graph)[-1] == "red/1 green/1 blue/1"
