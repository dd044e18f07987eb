"""Each rollout has a world of its own, and its tools see it; nobody else does, and no checkpoint."""

from __future__ import annotations

import sqlite3
import threading

import kit
import pytest
from kit import PEAKS, SAME, THREAD
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from worlds import Worlds, talk

from ec_agent import best_of_n, get_environment, read_only
from ec_agent.testing import Reply, ScriptedChatModel


def test_each_rollout_has_an_environment_while_it_runs(kind):
    run, worlds = kind
    world, seen = worlds(), []

    def look(state, config):
        environment = get_environment()
        assert environment is config["configurable"]["ec_environment"]
        assert environment.open
        seen.append((kit.rollout_index(), environment.index))

    run.invoke(kit.outer(best_of_n(talk(look=look), n=3, environment=world)), {"messages": "go"})
    assert sorted(seen) == [(0, 0), (1, 1), (2, 2)]
    assert len(world.made) == 3
    assert world.left_open == []
    assert get_environment() is None


@SAME
def test_tools_see_it_in_their_threads(kind):
    run, worlds = kind
    seen = []

    @read_only
    @tool
    def look() -> str:
        """Look."""
        seen.append((kit.rollout_index(), get_environment().index, threading.get_ident()))
        return "seen"

    model = ScriptedChatModel(
        [
            [Reply(tool_calls=[("look", {}), ("look", {})], entropies=kit.peak(at)), Reply("x", entropies=kit.peak(1))]
            for at in PEAKS
        ]
    )
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_node("tools", ToolNode([look]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    builder.add_edge("tools", "model")
    run.invoke(best_of_n(builder.compile(), n=3, environment=worlds()), {"messages": "go"})
    assert sorted(pair[:2] for pair in seen) == [(i, i) for i in range(3) for _ in range(2)]


def test_without_one_there_is_none(run):
    seen = []

    def look(state, config):
        seen.append((get_environment(), "ec_environment" in config["configurable"]))

    run.invoke(best_of_n(talk(look=look), n=2), {"messages": "go"})
    assert seen == [(None, False)] * 2


def test_the_factory_gets_index_and_input_copy(kind):
    run, worlds = kind
    world, seen = worlds(), []
    spoil = lambda i, known: (known["messages"].append(i), world(i, known))[1]  # noqa: E731
    agent = talk(look=lambda s: seen.append(len(s["messages"])))
    done = run.invoke(kit.outer(best_of_n(agent, n=3, environment=spoil)), {"messages": [("user", "go")]})
    assert seen == [1, 1, 1]
    assert sorted(known["messages"][1] for known in world.inputs) == [0, 1, 2]
    assert [m.content for m in done["messages"]] == ["go", "answer 1"]


# Rollouts within rollouts.


@SAME
def test_nested_rollouts_have_their_own_environments(run):
    seen = []
    inner_world, outer_world = Worlds(), Worlds()
    pair = lambda: (get_environment(), kit.rollout_index())  # noqa: E731
    inner = best_of_n(talk(look=lambda s: seen.append(("inner", *pair()))), n=2, environment=inner_world)
    agent = kit.graph(
        MessagesState,
        before=lambda s: seen.append(("outer", *pair())),
        inner=inner,
        after=lambda s: seen.append(("outer", *pair())),
    )
    run.invoke(best_of_n(agent, n=3, environment=outer_world), {"messages": "go"})
    assert len(seen) == 3 * 2 + 3 * 2
    assert all(environment.index == index for _, environment, index in seen)
    assert {id(e) for where, e, _ in seen if where == "inner"} == {id(e) for e in inner_world.made}
    assert {id(e) for where, e, _ in seen if where == "outer"} == {id(e) for e in outer_world.made}
    assert inner_world.left_open == outer_world.left_open == []


@SAME
def test_nested_rollouts_share_the_outer_environment(run):
    seen = []

    def look(state, config):
        seen.append((get_environment(), config["configurable"].get("ec_environment")))

    world = Worlds()
    agent = kit.graph(MessagesState, inner=best_of_n(talk(look=look), n=2))
    run.invoke(best_of_n(agent, n=1, environment=world), {"messages": "go"})
    assert seen == [(world.made[0], world.made[0])] * 2


# What is kept.


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
def test_no_checkpoint_holds_the_environment(saver, tmp_path):
    with sqlite3.connect(tmp_path / "saver.sqlite", check_same_thread=False) as connection:
        kept = InMemorySaver() if saver == "memory" else SqliteSaver(connection)
        node = best_of_n(talk(), n=3, environment=Worlds(), promote=lambda e: e)  # its result is nobody's
        graph = kit.outer(node, checkpointer=kept)
        for durability in ("sync", "async"):
            done = graph.invoke({"messages": "go"}, THREAD, durability=durability)
        assert kit.answers(done["messages"]) == ["answer 1"] * 2
        assert "Thing" not in repr(list(kept.list(None)))
    connection.close()
