"""A rollout that fails is on record and the others go on; where none is left, nothing is lost."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import kit
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from ec_agent import (
    AllRolloutsFailedError,
    Candidate,
    ConfigError,
    Limits,
    LowestCentroid,
    Ranking,
    best_of_n,
)
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)


def failing(*errors):
    """Rollout ``i`` raises ``errors[i]``, or answers where that is ``None``; the later, the surer early."""

    def one(state):
        index = kit.rollout_index()
        kit.say(*(17 - i for i in range(len(errors)))).invoke("?")
        if errors[index] is not None:
            raise errors[index]
        return {"messages": [("ai", f"answer {index}")]}

    return kit.graph(MessagesState, one=one)


def test_some_failures_leave_the_others_alone(run):
    node = best_of_n(failing(None, LookupError("lost"), None, ValueError()), n=4)
    result = run.run(node, {"messages": "go"})
    assert [c.error for c in result.selection.candidates] == [None, "LookupError: lost", None, "ValueError"]
    assert [c.reason for c in result.selection.candidates] == [None, "failed", None, "failed"]
    assert [action is None for action in result.final_actions] == [False, True, False, True]
    assert result.selection.winner == 2  # a failed one never wins, however low its centroid


def test_a_failed_rollouts_calls_are_on_record(run):
    result = run.run(best_of_n(failing(None, LookupError("lost")), n=2), {"messages": "go"})
    assert [len(t.calls) for t in result.trajectories] == [1, 1]
    failed = result.selection.candidates[1]
    # The centroid of an unfinished rollout is another quantity: its thresholds would move with what is to come.
    assert (failed.tokens, failed.centroid, failed.score) == (20, None, None)
    assert result.trajectories[1].centroid() == kit.centroid(16)


def test_all_failing_names_each_cause(run):
    errors = [LookupError("one"), ValueError("two"), ZeroDivisionError()]
    with pytest.raises(AllRolloutsFailedError) as caught:
        run.invoke(kit.outer(best_of_n(failing(*errors), n=3)), {"messages": "go"})
    text = str(caught.value)
    for line in ("rollout 0: LookupError: one", "rollout 1: ValueError: two", "rollout 2: ZeroDivisionError"):
        assert line in text
    assert "run the agent alone" in text
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert {type(e) for e in group.exceptions} == {LookupError, ValueError, ZeroDivisionError}
    assert [c.error for c in caught.value.candidates] == ["LookupError: one", "ValueError: two", "ZeroDivisionError"]
    assert caught.value.outputs == (None, None, None)
    assert "in one" in "".join(traceback.format_exception(group))  # where it was raised


def test_n_1_follows_the_same_rule(run):
    with pytest.raises(AllRolloutsFailedError, match="LookupError: lost"):
        run.invoke(best_of_n(failing(LookupError("lost")), n=1), {"messages": "go"})


def test_siblings_of_a_failure_are_not_cancelled():
    ended = []

    async def one(state):
        index = kit.rollout_index()
        if index == 0:
            raise LookupError("at once")
        await asyncio.sleep(0.05)
        ended.append(index)
        await kit.say(*PEAKS).ainvoke("?")
        return {"plain": index}

    done = asyncio.run(best_of_n(one, n=3).ainvoke({}))
    assert sorted(ended) == [1, 2]
    assert done == {"plain": 1}


def test_an_agent_that_never_ends_is_a_failed_rollout(run):
    builder = StateGraph(MessagesState)

    def one(state):
        kit.say(*PEAKS).invoke("?")
        return {"messages": [("ai", f"answer {kit.rollout_index()}")]}

    builder.add_node("one", one)
    builder.add_edge(START, "one")
    builder.add_conditional_edges("one", lambda s: "one" if kit.rollout_index() == 1 else "__end__", ["one", "__end__"])
    node = best_of_n(builder.compile(), n=3, limits=Limits(recursion_limit=7))
    selection = run.run(node, {"messages": "go"}).selection
    assert "GraphRecursionError" in selection.candidates[1].error
    assert "limit of 7 reached; allow more with limits=Limits(recursion_limit=" in selection.candidates[1].error
    assert selection.winner == 2


def test_the_recursion_limit_of_the_outer_run_is_its_own(run):
    chain = {f"n{i}": (lambda s, i=i: {"items": [i]}) for i in range(12)}
    agent = kit.graph(kit.Items, ask=lambda s: kit.say(3).invoke("?") and None, **chain)
    done = run.invoke(kit.outer(best_of_n(agent, n=1), kit.Items), {"items": []}, {"recursion_limit": 6})
    assert len(done["items"]) == 12


THREAD = {"configurable": {"thread_id": "t"}}


def test_a_later_interrupt_is_the_outer_graphs(run):
    builder = StateGraph(MessagesState)
    builder.add_node("solve", best_of_n(kit.chat(kit.say(*PEAKS)), n=3))
    builder.add_node("approve", lambda s: {"messages": [("human", interrupt("ok?"))]})
    builder.add_edge(START, "solve")
    builder.add_edge("solve", "approve")
    graph = builder.compile(checkpointer=InMemorySaver())
    stopped = run.invoke(graph, {"messages": "go"}, THREAD)
    assert stopped["__interrupt__"][0].value == "ok?"
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert [m.content for m in done["messages"]] == ["go", "answer 1", "yes"]


@pytest.mark.parametrize("option", ["final_action", "output"])
def test_a_users_function_that_raises_fails_one_rollout(run, option):
    def picky(final, writes=None):
        if "answer 1" in str(final):
            raise LookupError("not this one")
        return {"messages": final["messages"]} if option == "output" else "action"

    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, **{option: picky})
    selection = run.run(node, {"messages": "go"}).selection
    assert selection.candidates[1].error == "LookupError: not this one"
    assert selection.winner == 2


@pytest.mark.parametrize("value", [None, 3, [("messages", 1)], "text"])
def test_output_must_return_a_dict(run, value):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=2, output=lambda final: value)
    with pytest.raises(AllRolloutsFailedError, match=r"AgentError: output= returned .*return a dict"):
        run.invoke(kit.outer(node), {"messages": "go"})


def boom(*args, **kwargs):
    raise LookupError("boom")


@pytest.mark.parametrize("option", ["calls", "sampling"])
def test_an_error_of_calls_or_sampling_is_kept(run, option):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=2, **{option: boom})
    with pytest.raises((AllRolloutsFailedError, LookupError), match="boom"):
        run.invoke(kit.outer(node), {"messages": "go"})


@pytest.mark.parametrize("value", [None, 3, "seed", [1]])
def test_sampling_must_return_parameters(run, value):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=2, sampling=lambda i: value)
    with pytest.raises(ConfigError, match="sampling"):
        run.invoke(kit.outer(node), {"messages": "go"})


class Choosing:
    name = "choosing"
    signals = ("entropy",)

    def __init__(self, verdict):
        self.verdict = verdict

    def select(self, candidates):
        return self.verdict(candidates) if callable(self.verdict) else self.verdict


def ranking(*order: Any) -> Ranking:
    return Ranking(order=order, scores=dict.fromkeys(order, 1.0), reasons={})


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (ranking(0, 3), "eligible"),
        (ranking(7), "eligible"),
        (ranking(-1), "eligible"),
        (ranking(1, 1), "at most once"),
        (ranking("0"), "eligible"),
        (None, "return a Ranking"),
        ((0, 1), "return a Ranking"),
        (0, "return a Ranking"),
    ],
)
def test_a_selector_with_a_bad_ranking_is_named(run, verdict, message):
    """Rollout 3 failed, so it must not be ranked either."""
    node = best_of_n(failing(None, None, None, LookupError()), n=4, selector=Choosing(verdict))
    with pytest.raises(ConfigError, match=f"selector 'choosing'.*{message}"):
        run.invoke(kit.outer(node), {"messages": "go"})


def test_an_error_of_a_selector_is_raised(run):
    with pytest.raises(LookupError, match="boom"):
        run.invoke(kit.outer(best_of_n(failing(None), n=1, selector=Choosing(boom))), {"messages": "go"})


def test_a_selector_sees_failed_candidates_as_such(run):
    seen: list[Candidate] = []

    def verdict(candidates):
        seen.extend(candidates)
        return LowestCentroid().select(candidates)

    node = best_of_n(failing(None, LookupError("lost")), n=2, selector=Choosing(verdict))
    run.invoke(node, {"messages": "go"})
    assert [(c.index, c.eligible, c.error) for c in seen] == [(0, True, None), (1, False, "LookupError: lost")]


def test_the_agents_own_retry_policy_works(run):
    tries = []

    def flaky(state):
        tries.append(kit.rollout_index())
        if tries.count(kit.rollout_index()) == 1:
            raise ConnectionError("try again")
        return {"items": [kit.say(*PEAKS).invoke("?").content]}

    builder = StateGraph(kit.Items)
    builder.add_node("one", flaky, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    builder.add_edge(START, "one")
    done = run.invoke(kit.outer(best_of_n(builder.compile(), n=3), kit.Items), {"items": []})
    assert done["items"] == ["answer 1"]
    assert sorted(tries) == [0, 0, 1, 1, 2, 2]


def test_a_failed_model_call_is_not_counted(run):
    """The agent survives its model's error by asking again: two calls started, one answered."""
    model = ScriptedChatModel(
        lambda messages, index: (
            Reply(error=ConnectionError("down"))
            if messages[-1].content == "first"
            else Reply(f"answer {index}", entropies=kit.peak(PEAKS[index]))
        )
    )

    def one(state):
        try:
            model.invoke("first")
        except ConnectionError:
            return {"messages": [model.invoke("second")]}

    result = run.run(best_of_n(kit.graph(MessagesState, one=one), n=3), {"messages": "go"})
    assert [len(t.calls) for t in result.trajectories] == [1, 1, 1]
    assert result.selection.winner == 1


def test_an_async_only_agent_says_so_in_sync():
    async def one(state):
        return {}

    with pytest.raises(AllRolloutsFailedError, match="No synchronous function"):
        best_of_n(kit.graph(MessagesState, one=one), n=1).invoke({"messages": "go"})


def test_two_parallel_nodes_do_not_mix(run):
    """Two best_of_n nodes in one superstep, one of them with failures."""
    builder = StateGraph(MessagesState)
    builder.add_node("a", best_of_n(kit.chat(kit.say(*PEAKS)), n=3))
    builder.add_node("b", best_of_n(failing(LookupError(), None, None), n=3))
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    done = run.invoke(builder.compile(), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1", "answer 2"]


@pytest.mark.parametrize("saver", [None, InMemorySaver])
def test_the_outer_nodes_retry_runs_all_again(run, saver):
    tries = []

    def flaky(state):
        tries.append(kit.rollout_index())
        if len(tries) <= 2:
            raise ConnectionError("down")
        return {"plain": kit.say(*PEAKS).invoke("?").content}

    builder = StateGraph(kit.Items)
    again = RetryPolicy(retry_on=AllRolloutsFailedError, initial_interval=0.001, jitter=False)
    builder.add_node("solve", best_of_n(flaky, n=2), retry_policy=again)
    builder.add_edge(START, "solve")
    done = run.invoke(builder.compile(checkpointer=saver and saver()), {"items": []}, THREAD)
    assert (done["plain"], len(tries)) == ("answer 1", 4)


def test_the_runtimes_own_control_flow_is_no_failure(run):
    """What LangGraph raises to steer a run goes through: it is no rollout's end."""

    class Drained(GraphBubbleUp):
        pass

    def one(state):
        raise Drained

    with pytest.raises(Drained):
        run.invoke(kit.outer(best_of_n(kit.graph(MessagesState, one=one), n=1)), {"messages": "go"})
