"""Selectors that are async and ask models: when they run, what they cost, and what happens if they fail."""

from __future__ import annotations

import asyncio
import threading

import kit
import pytest
from askers import ASKED, FORMS, LAST, Asking, AsyncOnly, SyncOnly, judge
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent import (
    AllRolloutsFailedError,
    Limits,
    Selection,
    SelectorError,
    SelectorWarning,
    Stop,
    best_of_n,
    record_calls,
)
from ec_agent.errors import ConfigError, IdenticalRolloutsWarning, QuorumError, SelectionError
from ec_agent.selectors import LowestCentroid, MajorityVote
from ec_agent.stopping import More
from ec_agent.testing import Reply, ScriptedChatModel


def three(**options):
    return best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, **options)


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
def test_every_form_of_selector_chooses_and_is_billed(run, kind):
    result = run.run(three(selector=kind(judge())), ASKED)
    told, calls = result.selection, 3 if kind is Asking else 1
    assert (told.winner, told.order, told.failed_selector) == (LAST, (2, 1, 0), None)
    assert told.selector_usage == {
        "calls": calls,
        "prompt_tokens": 0,
        "cached_tokens": 0,
        "generated_tokens": 5 * calls,
    }
    assert told.usage["generated_tokens"] == 3 * 20 + 5 * calls
    assert [candidate.calls for candidate in told.candidates] == [1, 1, 1]
    assert [len(trajectory) for trajectory in result.trajectories] == [20, 20, 20]
    assert Selection.from_dict(told.to_dict()) == told
    assert f"Of these the selector took {5 * calls} generated, in {calls} call" in str(told)


def test_the_form_that_fits_the_run_is_asked(run):
    asking = Asking(judge())
    run.run(three(selector=asking), ASKED)
    assert asking.forms == [run.name]


async def test_a_blocking_selector_does_not_hold_the_event_loop():
    beats, selector = 0, SyncOnly(judge(delay=0.4))

    async def beat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    heart = asyncio.create_task(beat())
    await three(selector=selector).arun(ASKED)
    heart.cancel()
    assert selector.threads[0] != threading.get_ident()
    assert beats >= 10


async def test_a_sync_run_on_a_loop_s_thread_cannot_wait_for_an_async_selector():
    agent = kit.say(*kit.PEAKS)
    with (
        record_calls() as recorder,
        pytest.raises(ConfigError, match=r"'async only' is async.*use ainvoke, arun or astream"),
    ):
        best_of_n(kit.chat(agent), n=3, selector=AsyncOnly(judge())).run(ASKED)
    assert recorder.trajectory().calls == ()


def test_without_a_model_nothing_is_billed(run):
    told = run.run(three(selector=MajorityVote()), ASKED).selection
    assert told.selector_usage == {}
    assert "selector took" not in str(told)


@pytest.mark.parametrize("kind", [Asking, AsyncOnly, SyncOnly], ids=lambda kind: kind.__name__)
def test_inside_a_rollout_the_judge_is_billed_and_in_no_timeline(run, kind):
    inner = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=kind(judge())).as_agent()
    result = run.run(best_of_n(inner, n=1), ASKED)
    asked = 15 if kind is Asking else 5
    assert result.selection.usage["generated_tokens"] == 3 * 20 + asked
    assert len(result.trajectories[0]) == 20
    assert result.selection.selector_usage == {}


def test_the_judge_is_seen_live_and_not_streamed(run):
    events = []
    run.run(three(selector=Asking(judge())), ASKED, on_event=events.append)
    seen = [event for event in events if event["type"] == "ec_agent.selector.call"]
    assert [event["state"] for event in seen].count("started") == 3
    assert [(event["calls"], event["tokens"]) for event in seen if event["state"] == "ended"] == [
        (1, 5),
        (2, 10),
        (3, 15),
    ]
    assert {event["type"] for event in events[-4:]} == {"ec_agent.rollout.scored", "ec_agent.selection"}
    outer = kit.outer(three(selector=Asking(judge())))
    parts = list(outer.stream(ASKED, stream_mode="messages"))
    assert not [message for message, _ in parts if message.text == "fine"]


# Stopping


class FirstTwo:
    def enough(self, candidates, running, n):
        return Stop("two are enough", (0, 1)) if candidates else More(3)


def test_at_a_stop_the_judge_sees_only_those_that_may_win(run):
    asking = Asking(judge())
    told = run.run(best_of_n(kit.chat(kit.say(1, 2, 3, 4)), n=4, selector=asking, stop=FirstTwo()), ASKED).selection
    assert asking.seen == [[0, 1]]
    assert (told.winner, told.selector_usage["calls"]) == (1, 2)
    assert told.candidates[2].reason == "passed over"


# Failing


def failing(kind, on_failure, error):
    selector = kind(judge(error=error))
    selector.on_failure = on_failure
    return selector


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("on_failure", "name", "winner"),
    [("first", "first", 0), (LowestCentroid(), "lowest_centroid", 1), (MajorityVote(), "majority_vote", 0)],
    ids=["first", "centroid", "vote"],
)
def test_where_it_fails_another_chooses_as_told_and_the_receipt_says_so(run, kind, on_failure, name, winner):
    with pytest.warns(SelectorWarning, match=f"failed, and {name} chose in its place.*no such luck"):
        told = run.run(three(selector=failing(kind, on_failure, OSError("no such luck"))), ASKED).selection
    assert (told.selector, told.winner) == (name, winner)
    assert told.failed_selector.endswith("OSError: no such luck")
    assert "no such luck" in told.warnings[0]
    assert Selection.from_dict(told.to_dict()) == told


@pytest.mark.parametrize("kind", [Asking, AsyncOnly, SyncOnly], ids=lambda kind: kind.__name__)
def test_where_nobody_else_is_to_choose_the_error_has_the_rollouts(run, kind):
    with pytest.raises(SelectorError, match=r"failed: OSError: no such luck\. Correct the cause") as caught:
        run.run(three(selector=failing(kind, "raise", OSError("no such luck"))), ASKED)
    assert [candidate.final_action.text for candidate in caught.value.candidates] == [f"answer {i}" for i in range(3)]
    assert len(caught.value.outputs) == 3
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("on_failure", ["raise", "first"])
def test_what_is_no_failure_of_the_selector_is_raised_as_ever(run, on_failure):
    same = kit.chat(ScriptedChatModel([[Reply("same", entropies=kit.peak(3))]]))
    with pytest.raises(IdenticalRolloutsWarning):  # warnings are errors in these tests
        run.run(best_of_n(same, n=2, selector=Asking(judge(), on_failure)), ASKED)
    failed = kit.chat(ScriptedChatModel([[Reply(error=OSError("down"))]]))
    with pytest.raises(AllRolloutsFailedError):
        run.run(best_of_n(failed, n=2, selector=Asking(judge(), on_failure)), ASKED)


@pytest.mark.parametrize("error", [SelectionError("nested"), ConfigError("wrong; mend it"), KeyError("x")], ids=repr)
def test_whatever_it_fails_with_another_chooses_as_told(run, error):
    with pytest.warns(SelectorWarning, match=type(error).__name__):
        told = run.run(three(selector=failing(Asking, "first", error)), ASKED).selection
    assert told.selector == "first"


def test_a_selector_that_says_nothing_of_failing_fails_as_ever(run):
    with pytest.raises(OSError, match="no such luck"):
        run.run(three(selector=failing(SyncOnly, None, OSError("no such luck"))), ASKED)


def test_a_fallback_that_needs_logprobs_leaves_out_what_lacks_them(run):
    blind = ScriptedChatModel(
        [[Reply("answer 0", tokens=20)], [Reply("answer 1", entropies=kit.peak(3))], [Reply("answer 2", tokens=20)]]
    )
    agent, selector = kit.chat(blind), failing(Asking, LowestCentroid(), OSError("no"))
    with pytest.warns(SelectorWarning):
        told = run.run(best_of_n(agent, n=3, selector=selector), ASKED).selection
    assert (told.winner, told.order, told.candidates[0].reason) == (1, (1,), "coverage")
    selector = failing(Asking, LowestCentroid(), OSError("no"))
    with pytest.raises(QuorumError):
        run.run(best_of_n(agent, n=3, selector=selector, limits=Limits(quorum=2)), ASKED)


def test_a_failing_judge_asks_again_when_the_run_is_resumed_and_no_rollout_runs_again(run):
    ran, asked = [], []

    def reply(messages, index):
        ran.append(index)
        return Reply(f"answer {index}", entropies=kit.peak(3))

    class Weak(Asking):
        def select(self, candidates):
            asked.append(len(candidates))
            if len(asked) <= 2:
                raise OSError("busy")
            return super().select(candidates)

        async def aselect(self, candidates):
            asked.append(len(candidates))
            if len(asked) <= 2:
                raise OSError("busy")
            return await super().aselect(candidates)

    node = best_of_n(kit.chat(ScriptedChatModel(reply)), n=3, selector=Weak(judge()), selection_key="receipt")
    graph = kit.outer(node, schema=Receipt, checkpointer=InMemorySaver())
    for known in (ASKED, None):
        with pytest.raises(SelectorError, match="busy"):
            run.invoke(graph, known, kit.THREAD)
    done = run.invoke(graph, None, kit.THREAD)
    assert (asked, sorted(ran)) == ([3, 3, 3], [0, 1, 2])
    assert done["receipt"]["winner"] == LAST
    assert done["receipt"]["usage"]["generated_tokens"] == 3 * 20 + 15


class Receipt(kit.MessagesState):
    receipt: dict


class Killed(BaseException):
    """The process dies."""


@pytest.mark.parametrize("error", [OSError, Killed])
@pytest.mark.parametrize("where", ["route", "the next node"])
def test_a_run_that_fails_after_the_choice_does_not_pay_the_judge_twice(run, where, error):
    asking, failed = Asking(judge()), []

    def fails_once():
        if not failed:
            failed.append(where)
            raise error("down")

    def after(state):
        if where == "the next node":
            fails_once()
        return {}

    route = (lambda winner: fails_once() or "after") if where == "route" else None
    node = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=asking, selection_key="receipt", route=route)
    graph = kit.graph(Receipt, solve=node, after=after, checkpointer=InMemorySaver())
    with pytest.raises(error):
        run.invoke(graph, ASKED, kit.THREAD)
    done = run.invoke(graph, None, kit.THREAD)
    assert len(asking.seen) == 1
    assert done["receipt"]["selector_usage"]["calls"] == 3


# Limits


@pytest.mark.members(2)
@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
def test_a_choice_that_takes_longer_than_the_timeout_fails(run, kind):
    selector, limits = kind(judge(delay=2.0)), Limits(timeout=1.6)
    selector.on_failure = "first"
    node = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=selector, limits=limits)
    if run.name == "sync" and kind is not Asking:  # a call of a sync run is waited for, and no other comes after it
        assert run.run(node, ASKED).selection.winner == LAST
        return
    with pytest.warns(SelectorWarning, match="the selector took longer than 1.6 s"):
        told = run.run(node, ASKED).selection
    assert (told.selector, told.winner) == ("first", 0)


@pytest.mark.parametrize("over", ["finish", "cut"])
def test_the_judge_s_tokens_count_for_the_budget(run, over):
    def told_with(budget):
        limits = Limits(token_budget=budget, over_budget=over, max_concurrency=3)
        selector = Asking(judge(), on_failure="first")
        return run.run(best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=selector, limits=limits), ASKED).selection

    assert told_with(100).selector == "asking"
    with pytest.warns(SelectorWarning, match="was not asked: 60 of token_budget=60 tokens were spent"):
        spent = told_with(60)
    assert (spent.selector, spent.selector_usage) == ("first", {})
    if over == "finish":
        assert told_with(61).selector == "asking"
    elif run.name == "sync":
        with pytest.warns(SelectorWarning, match="cut: 65 of token_budget=61"):
            cut = told_with(61)
        assert (cut.selector, cut.selector_usage["calls"]) == ("first", 1)
        assert cut.usage["generated_tokens"] == 65


# Arguments


@pytest.mark.parametrize(
    "wrong",
    ["last", 1, MajorityVote, Asking(None), AsyncOnly(None)],
    ids=["a word", "a number", "a class", "one that asks", "one that is async"],
)
def test_what_shall_choose_instead_must_ask_nobody(wrong):
    with pytest.raises(ConfigError, match=r"on_failure is .*a selector that asks no model"):
        three(selector=Asking(None, on_failure=wrong))
