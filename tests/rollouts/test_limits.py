"""What a rollout may use, and what becomes of one that uses more."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import kit
import pytest
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from naming import named

from ec_agent import (
    AllRolloutsFailedError,
    ConfigError,
    Limits,
    NoScoredRolloutError,
    QuorumError,
    RolloutTimeoutError,
    best_of_n,
)
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)
BAD_NUMBERS = [0, -1, 1.5, "2", True, False, float("nan"), [], object()]


@pytest.mark.parametrize("field", ["max_concurrency", "recursion_limit", "max_tokens", "token_budget", "quorum"])
@pytest.mark.parametrize("value", BAD_NUMBERS, ids=named)
def test_anything_but_a_whole_number_is_refused(field, value):
    with pytest.raises(ConfigError, match=f"{field} is .*give a whole number of at least 1"):
        Limits(**{field: value})


def test_only_the_recursion_limit_cannot_be_none():
    Limits(max_concurrency=None, timeout=None, max_tokens=None, token_budget=None, quorum=None)
    with pytest.raises(ConfigError, match="recursion_limit is None"):
        Limits(recursion_limit=None)


@pytest.mark.parametrize("value", [0, -1, 0.0, "2", True, float("nan"), [], object()], ids=named)
def test_anything_but_a_time_is_refused(value):
    with pytest.raises(ConfigError, match=r"timeout is .*give seconds"):
        Limits(timeout=value)


@pytest.mark.parametrize("value", [None, "", "CUT", True, 1, [], {}], ids=named)
def test_over_budget_has_two_values(value):
    with pytest.raises(ConfigError, match=r"over_budget is .*'finish' or 'cut'"):
        Limits(over_budget=value)


@pytest.mark.parametrize("value", [None, 3, {"timeout": 1}, Limits], ids=named)
def test_limits_must_be_a_limits_object(value):
    with pytest.raises(ConfigError, match="give Limits"):
        best_of_n(kit.chat(kit.say(*PEAKS)), limits=value)


# Time.


def test_an_async_rollout_is_cancelled_with_its_tasks():
    log = []

    async def branch(state):
        try:
            await asyncio.sleep(30 if kit.rollout_index() == 1 else 0)
        except asyncio.CancelledError:
            log.append("branch cancelled")
            raise

    async def nested(state):
        async def deeper():
            try:
                await asyncio.sleep(30 if kit.rollout_index() == 1 else 0)
            except asyncio.CancelledError:
                log.append("nested cancelled")
                raise

        async with asyncio.TaskGroup() as group:
            group.create_task(deeper())
        return {"messages": [await kit.say(*PEAKS).ainvoke("?")]}

    builder = StateGraph(MessagesState)
    builder.add_node("branch", branch)
    builder.add_node("nested", nested)
    builder.add_edge(START, "branch")
    builder.add_edge(START, "nested")

    async def main():
        started = time.monotonic()
        node = best_of_n(builder.compile(), n=3, limits=Limits(timeout=1.5))
        result = await node.arun({"messages": "go"})
        assert time.monotonic() - started < 15
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    result = asyncio.run(main())
    assert sorted(log) == ["branch cancelled", "nested cancelled"]
    assert [bool(c.error) for c in result.selection.candidates] == [False, True, False]
    assert "RolloutTimeoutError: the rollout took longer than 1.5 s" in result.selection.candidates[1].error
    assert result.selection.winner == 2  # rollout 1, the surest early, was too late


def test_each_rollouts_time_counts_from_its_start():
    model = ScriptedChatModel(lambda messages, i: Reply(f"answer {i}", entropies=kit.peak(PEAKS[i]), delay=0.7))
    node = best_of_n(kit.chat(model), n=3, limits=Limits(timeout=1.5, max_concurrency=1))
    assert [c.error for c in asyncio.run(node.arun({"messages": "go"})).selection.candidates] == [None] * 3


@pytest.mark.members(1)
@pytest.mark.parametrize("what", ["model", "tool"])
def test_a_sync_rollout_stops_at_its_next_call(what):
    calls = []

    @tool
    def look() -> str:
        """Look."""
        calls.append("tool")
        return "seen"

    def one(state):
        first = kit.say(*PEAKS).invoke("?")
        if kit.rollout_index() == 1:
            time.sleep(1.2)
            look.invoke({}) if what == "tool" else kit.say(*PEAKS).invoke("?")
            calls.append("went on")
        return {"messages": [first]}

    node = best_of_n(kit.graph(MessagesState, one=one), n=3, limits=Limits(timeout=1))
    selection = node.run({"messages": "go"}).selection
    assert calls == []
    assert "RolloutTimeoutError" in selection.candidates[1].error
    assert selection.candidates[1].calls == 1
    assert selection.winner == 2


@pytest.mark.members(1)
def test_an_answer_after_the_time_is_late(run):
    def one(state):
        reply = kit.say(*PEAKS).invoke("?")
        time.sleep(1.2 if kit.rollout_index() == 1 else 0)
        return {"messages": [reply]}

    node = best_of_n(kit.graph(MessagesState, one=one), n=3, limits=Limits(timeout=1))
    selection = run.run(node, {"messages": "go"}).selection
    assert "RolloutTimeoutError" in selection.candidates[1].error
    assert selection.winner == 2


def test_the_agents_own_timeout_error_stays(run):
    def one(state):
        reply = kit.say(*PEAKS).invoke("?")
        if kit.rollout_index() == 1:
            raise TimeoutError("mine")
        return {"messages": [reply]}

    node = best_of_n(kit.graph(MessagesState, one=one), n=3, limits=Limits(timeout=30))
    assert run.run(node, {"messages": "go"}).selection.candidates[1].error == "TimeoutError: mine"


def test_an_agent_that_catches_the_timeout_fails():
    async def one(state):
        reply = await kit.say(*PEAKS).ainvoke("?")
        if kit.rollout_index() == 1:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(30)
        return {"messages": [reply]}

    node = best_of_n(kit.graph(MessagesState, one=one), n=3, limits=Limits(timeout=1))
    selection = asyncio.run(node.arun({"messages": "go"})).selection
    assert [bool(c.error) for c in selection.candidates] == [False, True, False]
    assert "RolloutTimeoutError" in selection.candidates[1].error


def test_a_timeout_is_a_timeout_error(run):
    model = ScriptedChatModel(lambda messages, i: Reply("late", entropies=kit.peak(3), delay=0.3))
    with pytest.raises(AllRolloutsFailedError) as caught:
        run.invoke(best_of_n(kit.chat(model), n=2, limits=Limits(timeout=0.1)), {"messages": "go"})
    assert {type(error) for error in caught.value.__cause__.exceptions} == {RolloutTimeoutError}
    assert issubclass(RolloutTimeoutError, TimeoutError)


# Tokens.


def test_too_many_tokens_fail_and_are_paid(run):
    model = ScriptedChatModel(
        lambda messages, i: Reply(f"answer {i}", entropies=kit.peak(PEAKS[i], 40 if i == 1 else 20))
    )
    result = run.run(best_of_n(kit.chat(model), n=3, limits=Limits(max_tokens=30)), {"messages": "go"})
    failed = result.selection.candidates[1]
    assert failed.error == "TokenLimitError: the rollout generated 40 tokens with max_tokens=30; allow more"
    assert (failed.tokens, failed.calls) == (40, 1)
    assert result.selection.usage["generated_tokens"] == 80
    assert result.selection.winner == 2


def test_exactly_max_tokens_is_not_too_much(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, limits=Limits(max_tokens=20))
    assert [c.error for c in run.run(node, {"messages": "go"}).selection.candidates] == [None] * 3


def test_no_call_after_max_tokens(run):
    asked = []

    def one(state):
        replies = []
        for _ in range(2):
            replies.append(kit.say(*PEAKS).invoke("?"))
            asked.append(kit.rollout_index())
        return {"messages": replies}

    with pytest.raises(AllRolloutsFailedError, match="generated 20 tokens with max_tokens=20"):
        run.invoke(best_of_n(kit.graph(MessagesState, one=one), n=2, limits=Limits(max_tokens=20)), {"messages": "go"})
    assert sorted(asked) == [0, 1]


def test_an_agent_that_catches_the_limit_fails(run):
    def one(state):
        with suppress(Exception):
            kit.say(*PEAKS).invoke("?")
        return {"messages": [("ai", "never mind")]}

    with pytest.raises(AllRolloutsFailedError, match="TokenLimitError"):
        run.invoke(best_of_n(kit.graph(MessagesState, one=one), n=2, limits=Limits(max_tokens=5)), {"messages": "go"})


@pytest.mark.parametrize("over_budget", ["finish", "cut"])
def test_with_a_spent_budget_nothing_starts(run, over_budget):
    asked = []

    def script(messages, index):
        asked.append(index)
        return Reply(f"answer {index}", entropies=kit.peak(PEAKS[index % 3]))

    limits = Limits(token_budget=40, over_budget=over_budget, max_concurrency=1)
    result = run.run(best_of_n(kit.chat(ScriptedChatModel(script)), n=4, limits=limits), {"messages": "go"})
    assert asked == [0, 1]
    errors = [c.error for c in result.selection.candidates]
    assert errors[:2] == [None, None]
    assert errors[2:] == ["TokenBudgetError: not started: 40 of token_budget=40 tokens were spent; allow more"] * 2
    assert [c.calls for c in result.selection.candidates] == [1, 1, 0, 0]
    assert result.selection.usage["generated_tokens"] == 40


@pytest.mark.parametrize(("over_budget", "calls"), [("finish", 3), ("cut", 2)])
def test_a_running_rollout_when_the_budget_ends(run, over_budget, calls):
    asked = []

    def one(state):
        replies = []
        for _ in range(3):
            replies.append(kit.say(3).invoke("?"))
            asked.append(1)
        return {"messages": replies}

    limits = Limits(token_budget=40, over_budget=over_budget)
    node = best_of_n(kit.graph(MessagesState, one=one), n=1, limits=limits)
    if over_budget == "finish":
        assert run.run(node, {"messages": "go"}).selection.usage["generated_tokens"] == 60
    else:
        with pytest.raises(AllRolloutsFailedError, match="TokenBudgetError: cut: 40 of token_budget=40"):
            run.invoke(node, {"messages": "go"})
    assert len(asked) == calls


def test_each_question_has_its_own_budget(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=2, limits=Limits(token_budget=25, max_concurrency=2))
    for _ in range(3):
        assert run.run(node, {"messages": "go"}).selection.usage["generated_tokens"] == 40


# Quorum.


def unscored(*indices):
    """Rollouts without logprobs."""
    return ScriptedChatModel(
        lambda messages, i: Reply(
            f"answer {i}", entropies=None if i in indices else kit.peak(PEAKS[i]), tokens=20 if i in indices else None
        )
    )


def partly(state):
    """Rollout 0 fails, rollout 1 has no logprobs, rollout 2 is scored."""
    if kit.rollout_index() == 0:
        raise LookupError("lost")
    return {"messages": [unscored(1).invoke("?")]}


@pytest.mark.parametrize("on_unscored", ["raise", "first"])
def test_too_few_scored_rollouts_name_every_cause(run, on_unscored):
    node = best_of_n(kit.graph(MessagesState, one=partly), n=3, limits=Limits(quorum=2), on_unscored=on_unscored)
    with pytest.raises(QuorumError) as caught:
        run.invoke(node, {"messages": "go"})
    text = str(caught.value)
    assert "1 of 3 rollouts could be scored, fewer than quorum=2" in text
    assert "rollout 0: LookupError: lost" in text
    assert "rollout 1: coverage" in text
    assert "rollout 2" not in text
    assert [c.index for c in caught.value.candidates] == [0, 1, 2]
    assert [output is None for output in caught.value.outputs] == [True, False, False]


def test_a_quorum_that_is_met(run):
    node = best_of_n(kit.graph(MessagesState, one=partly), n=3, limits=Limits(quorum=1))
    assert run.run(node, {"messages": "go"}).selection.winner == 2


def test_on_unscored_first_does_not_avoid_a_quorum(run):
    options = {"n": 3, "on_unscored": "first"}
    done = run.invoke(best_of_n(kit.chat(unscored(0, 1, 2)), **options), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 0"]
    with pytest.raises(QuorumError, match="0 of 3"):
        run.invoke(best_of_n(kit.chat(unscored(0, 1, 2)), **options, limits=Limits(quorum=1)), {"messages": "go"})


def test_none_scored_and_all_failed_differ(run):
    limits = Limits(quorum=2)
    with pytest.raises(NoScoredRolloutError):
        run.invoke(best_of_n(kit.chat(unscored(0, 1, 2)), n=3, limits=limits), {"messages": "go"})
    with pytest.raises(AllRolloutsFailedError):
        run.invoke(best_of_n(kit.graph(MessagesState, one=lambda s: 1 // 0), n=3, limits=limits), {"messages": "go"})


def test_a_quorum_above_n_cannot_be_met(run):
    with pytest.raises(ConfigError, match="quorum is 4 of n=3"):
        best_of_n(kit.chat(kit.say(*PEAKS)), n=3, limits=Limits(quorum=4))
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, limits=Limits(quorum=3))
    with pytest.raises(ConfigError, match="quorum is 3 of n=2"):
        run.invoke(node, {"messages": "go"}, context={"n": 2})


# Rollouts within rollouts.


def busy(times, peaks=PEAKS, delay=0.0):
    """An agent that asks its model several times in one node."""
    asked = []

    def script(messages, index):
        asked.append(index)
        time.sleep(delay)
        return Reply(f"answer {index}", entropies=kit.peak(peaks[index % 3]))

    model = ScriptedChatModel(script)
    return kit.graph(MessagesState, one=lambda s: {"messages": [model.invoke("?") for _ in range(times)][-1:]}), asked


def test_a_nested_limit_holds_inside(run):
    agent, asked = busy(3)
    inner = best_of_n(agent, n=2, limits=Limits(max_tokens=20))
    with pytest.raises(AllRolloutsFailedError, match="max_tokens=20"):
        run.invoke(best_of_n(kit.graph(MessagesState, inner=inner), n=2), {"messages": "go"})
    assert len(asked) == 4


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
def test_nested_losers_tokens_count_for_the_outer_limit(run):
    agent, _ = busy(1)
    outer = kit.graph(MessagesState, inner=best_of_n(agent, n=3))
    with pytest.raises(AllRolloutsFailedError, match="TokenLimitError"):
        run.invoke(best_of_n(outer, n=2, limits=Limits(max_tokens=50)), {"messages": "go"})
    selection = run.run(best_of_n(outer, n=2, limits=Limits(max_tokens=60)), {"messages": "go"}).selection
    assert [c.error for c in selection.candidates] == [None, None]
    assert selection.usage["generated_tokens"] == 120


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
@pytest.mark.parametrize(
    "limits", [Limits(max_tokens=40), Limits(token_budget=40, over_budget="cut")], ids=["max_tokens", "budget"]
)
def test_the_outer_limit_stops_nested_rollouts(run, limits):
    agent, asked = busy(10)
    outer = kit.graph(MessagesState, inner=best_of_n(agent, n=1))
    with pytest.raises(AllRolloutsFailedError):
        run.invoke(best_of_n(outer, n=1, limits=limits), {"messages": "go"})
    assert len(asked) <= 3


def test_a_sync_timeout_ends_at_a_nested_call():
    agent, asked = busy(10, delay=0.1)
    outer = kit.graph(MessagesState, inner=best_of_n(agent, n=1))
    with pytest.raises(AllRolloutsFailedError, match="RolloutTimeoutError"):
        best_of_n(outer, n=1, limits=Limits(timeout=0.25)).invoke({"messages": "go"})
    assert len(asked) <= 4


def test_an_async_timeout_ends_nested_rollouts():
    model = ScriptedChatModel(lambda messages, i: Reply("late", entropies=kit.peak(3), delay=5))
    outer = kit.graph(MessagesState, inner=best_of_n(kit.chat(model), n=2))
    started = time.monotonic()
    with pytest.raises(AllRolloutsFailedError, match=r"longer than 0\.2 s"):
        asyncio.run(best_of_n(outer, n=2, limits=Limits(timeout=0.2)).ainvoke({"messages": "go"}))
    assert time.monotonic() - started < 3


def test_a_limit_in_an_error_handling_tool_node(run):
    @tool
    def look() -> str:
        """Look."""
        return str(kit.say(3).invoke("?").content)

    model = ScriptedChatModel(
        [[Reply(tool_calls=[("look", {})], entropies=kit.peak(3)), Reply("done", entropies=kit.peak(3))]]
    )
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_node("tools", ToolNode([look], handle_tool_errors=True))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    builder.add_edge("tools", "model")
    with pytest.raises(AllRolloutsFailedError, match="TokenLimitError"):
        run.invoke(best_of_n(builder.compile(), n=1, limits=Limits(max_tokens=20)), {"messages": "go"})
