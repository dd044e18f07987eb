"""Selections outside an evaluation: recorded by hand or on the way, and read back whole."""

from __future__ import annotations

import dataclasses
import sqlite3

import numpy as np
import pytest
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import TraceError, TraceStore, TraceWarning, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

ASKED = {"messages": [("user", "?")]}


def agent():
    scripts = [
        [Reply("late", entropies=[0.1, None, 2.0])],
        [Reply("early", entropies=[2.0, 0.1, 0.1, 0.1]), Reply("b", entropies=[0.2])],
    ]
    model = ScriptedChatModel(scripts)

    def answer(state):
        return {"messages": [model.invoke(state["messages"])]}

    return best_of_n(in_a_graph(answer), n=2, keep_text=True)


def in_a_graph(node):
    builder = StateGraph(MessagesState)
    builder.add_node("answer", node)
    builder.add_edge(START, "answer")
    return builder.compile()


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "traces.db", create=True) as store:
        yield store


def test_a_recorded_selection_comes_back_whole(store):
    result = agent().run(ASKED)
    number = store.record(result, name="question é")
    (kept,) = store.selections()
    assert (kept.id, kept.name, kept.label) == (number, "question é", "question é")
    assert kept.receipt == result.selection == store.selection(number).receipt
    rollouts = list(store.rollouts(selection=number))
    assert [(r.key.task, r.key.number, r.selection) for r in rollouts] == [("question é", i, number) for i in (0, 1)]
    for rollout, trajectory, action in zip(rollouts, result.trajectories, result.final_actions, strict=True):
        assert rollout.final_action == action
        assert np.isnan(rollout.verdict)
        assert [call.texts for call in rollout.trajectory.calls] == [call.texts for call in trajectory.calls]
        assert [call.node for call in rollout.trajectory.calls] == ["answer"]
        np.testing.assert_array_equal(rollout.trajectory.entropies, np.float32(trajectory.entropies).astype(float))
        assert store.rollout(rollout.id).key == rollout.key
    assert np.isnan(rollouts[0].trajectory.entropies).tolist() == [False, True, False]


def test_a_failed_rollout_is_recorded_with_its_cause(store):
    def odd(state):
        if not odd.asked:
            odd.asked.append(1)
            raise ValueError("no \ud800")
        return {"messages": [ScriptedChatModel([[Reply("x", entropies=[1.0, 0.1])]]).invoke(state["messages"])]}

    odd.asked = []
    number = store.record(best_of_n(odd, n=2).run(ASKED))
    failed = [rollout for rollout in store.rollouts(selection=number) if rollout.error]
    assert [(rollout.verdict, rollout.final_action) for rollout in failed] == [(0.0, None)]
    assert "ValueError: no \\ud800" in failed[0].error
    assert failed[0].key.task == f"selection {number}"


def test_whatever_is_selected_inside_is_recorded(store):
    node = agent()
    heard = []
    with store.recording(name="inside"):
        in_a_graph(node).invoke(ASKED)
        node.invoke(ASKED)
        node.run(ASKED, on_event=heard.append)
    node.run(ASKED)
    assert [kept.name for kept in store.selections()] == ["inside"] * 3
    assert heard


def test_nested_stores_each_record_once(store, tmp_path):
    node = agent()
    with TraceStore(tmp_path / "other.db", create=True) as other:
        with store.recording(name="a"), other.recording(name="b"):
            node.run(ASKED)
        with other.recording(name="c"), store.recording(name="d"), store.recording(name="e"):
            node.invoke(ASKED)
        assert [kept.name for kept in store.selections()] == ["a", "e"]
        assert [kept.name for kept in other.selections()] == ["b", "c"]


async def test_recorded_in_async_runs_too(store):
    with store.recording():
        await agent().ainvoke(ASKED)
    assert len(list(store.selections())) == 1


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
def test_questions_side_by_side_are_kept_apart(store):
    def echo(state):
        model = ScriptedChatModel([[Reply(state["messages"][0].content, entropies=[1.0, 0.1])]])
        return {"messages": [model.invoke(state["messages"])]}

    questions = [{"messages": [("user", f"question {i}")]} for i in range(6)]
    with store.recording():
        best_of_n(in_a_graph(echo), n=2).batch(questions)
    said = [[r.final_action.content for r in store.rollouts(selection=kept.id)] for kept in store.selections()]
    assert sorted(said) == [[f"question {i}"] * 2 for i in range(6)]


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
def test_a_nested_selection_is_not_recorded(store):
    with store.recording():
        best_of_n(in_a_graph(agent()), n=2).run(ASKED)
    (kept,) = store.selections()
    assert len(list(store.rollouts(selection=kept.id))) == 2


def test_a_failed_write_warns_and_the_agent_continues(store):
    store.path.rename(store.path.with_suffix(".gone"))
    with store.recording(), pytest.warns(TraceWarning, match="was not recorded: there is no file"):
        done = agent().invoke(ASKED)
    assert done["messages"][-1].content


@pytest.mark.parametrize("odd", [None, "text", {"selection": 1}])
def test_something_else_is_refused(store, odd):
    with pytest.raises(TraceError, match=r"cannot record \w+ .* give what best_of_n"):
        store.record(odd)
    result = agent().run(ASKED)
    with pytest.raises(TraceError, match="cannot record BestOfNResult"):
        store.record(dataclasses.replace(result, trajectories=()))
    assert list(store.selections()) == []


def test_missing_ids_raise(store):
    with pytest.raises(TraceError, match="has no selection 7; run `ec-agent traces ls`"):
        store.selection(7)
    with pytest.raises(TraceError, match="has no rollout 7"):
        store.rollout(7)
    assert list(store.rollouts(selection=7)) == []


def test_recorded_rollouts_are_no_part_of_the_run(store):
    store.begin({"n": 2}, {"a": "mark"})
    store.record(agent().run(ASKED))
    assert store.keys() == set()
    assert (store.failures(), store.costs()["generated_tokens"]) == ([], 0)
    assert [total.rollouts for total in store.totals()] == [0]
    assert store.forget_failed() == 0
    assert len(list(store.rollouts())) == 2


def test_a_selection_without_rollouts_goes(store):
    first, second = (store.record(agent().run(ASKED)) for _ in range(2))
    assert store.forget(rollout for rollout, _, _ in store.candidates(first)) == 2
    assert [kept.id for kept in store.selections()] == [second]
    for table in ("calls", "timelines"):
        with sqlite3.connect(store.path) as other:
            assert other.execute(f"SELECT count(DISTINCT rollout) FROM {table}").fetchone() == (2,)
