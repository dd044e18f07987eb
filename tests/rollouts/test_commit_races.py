"""Two workers resume one thread from before the action: at most one acts, whichever way they go."""

from __future__ import annotations

import contextlib

import kit
import pytest
from kit import THREAD
from langchain_core.messages import HumanMessage
from langgraph.types import Command, interrupt
from races import Race, by_worker, worker

from ec_agent import CommitError

HOW = pytest.mark.parametrize("how", ["execute", "route"])
BOB, ANN, PAY = ("send", {"to": "bob"}), ("send", {"to": "ann"}), ("pay", {"amount": 3})
GO = {"messages": "go"}


def paused(run, how, post, **replies):
    race = Race(run)
    graph = race.outer(how, post, by_worker(**replies))
    run.invoke(graph, GO, THREAD)
    return race, graph


def answered(state):
    """Whether every call has its answer, under its own id."""
    asked = [call["id"] for m in state["messages"] for call in getattr(m, "tool_calls", [])]
    return asked == [m.tool_call_id for m in state["messages"] if m.type == "tool"]


@HOW
@pytest.mark.parametrize("calls", [[BOB], [BOB, PAY]], ids=["one", "two"])
def test_the_later_worker_takes_the_first_outcome(run, post, how, calls):
    race, graph = paused(run, how, post, first=[calls, "done"])
    first, late = race.ok(*race.between(race.resuming(graph)))
    assert post.done == ([3, "bob"] if PAY in calls else ["bob"])
    for state in (first, late):
        assert answered(state)
        assert kit.gist(state["messages"]) == kit.gist(first["messages"])
        assert next(m.content for m in state["messages"] if m.type == "tool") == "sent bob"


@HOW
@pytest.mark.parametrize(
    ("first", "late", "done"),
    [([BOB], [ANN], ["bob"]), ([BOB], [BOB, PAY], ["bob"]), ([BOB, PAY], [BOB], [3, "bob"]), ([BOB], [PAY], ["bob"])],
    ids=["another", "more", "fewer", "another tool"],
)
def test_a_worker_with_another_action_does_nothing(run, post, how, first, late, done):
    race, graph = paused(run, how, post, first=[first, "done"], late=[late, "done"])
    state, error = race.between(race.resuming(graph))
    assert answered(state)
    assert post.done == done
    assert isinstance(error, CommitError)
    for part in ("another run of", "send({'to': 'bob'})", "nothing was done", "begin a new turn"):
        assert part in str(error)


@HOW
@pytest.mark.parametrize("late", [[BOB], [ANN]], ids=["the same", "another"])
def test_a_worker_with_another_history_does_nothing(run, post, how, late):
    race, graph = paused(run, how, post, first=[[BOB], "done"], late=[late, "done"])
    race.detours.add("late")
    _, error = race.between(race.resuming(graph))
    assert post.done == ["bob"]
    assert isinstance(error, CommitError)
    assert "went another way and has carried out send({'to': 'bob'})" in str(error)


@HOW
def test_a_job_delivered_twice_acts_once(run, post, how):
    race, graph = paused(run, how, post, first=[[BOB], "done"])
    at = graph.get_state(THREAD).config
    first, late = race.between(race.resuming(graph, None, at))
    assert post.done == ["bob"]
    assert answered(first)
    assert answered(late)


@HOW
def test_resuming_thread_and_checkpoint_acts_once(run, post, how):
    race, graph = paused(run, how, post, first=[[BOB], "done"])
    at = graph.get_state(THREAD).config
    race.between(race.resuming(graph), race.resuming(graph, None, at))
    assert post.done == ["bob"]


@HOW
def test_two_that_change_the_state_act_once(run, post, how):
    race, graph = paused(run, how, post, first=[[BOB], "done"])

    def resume():
        graph.update_state(THREAD, {"messages": [HumanMessage("go on")]})
        return run.invoke(graph, None, THREAD)

    race.between(resume)
    assert post.done == ["bob"]


@HOW
def test_a_question_answered_twice_acts_once(run, post, how):
    race = Race(run)
    asked = race.earlier

    def earlier(state):
        interrupt("go on?")
        asked(state)

    race.earlier = earlier
    graph = race.outer(how, post, by_worker(first=[[BOB], "done"]))
    run.invoke(graph, GO, THREAD)
    run.invoke(graph, None, THREAD)
    first, late = race.between(race.resuming(graph, Command(resume="yes")))
    assert post.done == ["bob"]
    assert answered(first)
    assert answered(late)


def test_several_actions_in_turn_act_once_each(run, post):
    race = Race(run)
    model = by_worker(first=[[BOB], [PAY], "done"])
    graph = race.outer("execute", post, model, continue_after_commit=True)
    run.invoke(graph, GO, THREAD)
    first, late = race.between(race.resuming(graph))
    assert post.done == [3, "bob"]
    assert kit.gist(first["messages"]) == kit.gist(late["messages"])
    assert answered(late)


def test_ending_early_does_not_do_the_second_action(run, post):
    race = Race(run)
    model = by_worker(first=[[BOB], "done"], late=[[BOB], [PAY], "done"])
    graph = race.outer("execute", post, model, continue_after_commit=True)
    run.invoke(graph, GO, THREAD)
    race.between(race.resuming(graph))
    assert post.done in (["bob"], [3, "bob"])


@HOW
def test_going_back_after_a_race_acts_anew(run, post, how):
    race, graph = paused(run, how, post, first=[[BOB], "done"])
    at = graph.get_state(THREAD).config
    race.between(race.resuming(graph))
    assert post.done == ["bob"]
    run.invoke(graph, None, at)
    assert post.done == ["bob", "bob"]
    assert len(set(post.keys)) == 2


@HOW
def test_the_next_turn_of_the_thread_acts_anew(run, post, how):
    race, graph = paused(run, how, post, first=[[BOB], "done"])
    race.between(race.resuming(graph))
    run.invoke(graph, GO, THREAD)
    run.invoke(graph, None, THREAD)
    assert post.done == ["bob", "bob"]


def test_racing_workers_promote_once(run, post):
    promoted = []
    race = Race(run)

    def world(index, given):
        return contextlib.nullcontext(f"{worker.get()} {index}")

    graph = race.outer("execute", post, by_worker(first=["done"]), environment=world, promote=promoted.append)
    run.invoke(graph, GO, THREAD)
    race.between(race.resuming(graph))
    assert promoted == ["first 1"]
