"""A rollout that fails may begin anew."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import contextmanager

import kit
import pytest
from langgraph.graph import MessagesState
from langgraph.types import RetryPolicy, default_retry_on
from naming import named

from ec_agent import AllRolloutsFailedError, ConfigError, Limits, NoFinalActionError, best_of_n, get_environment

PEAKS = (15, 3, 9)
AT_ONCE = {"initial_interval": 0.0, "jitter": False}


class Shaky:
    """An agent whose rollout 1 raises these errors, one an attempt, before it answers."""

    def __init__(self, *errors, ask=True):
        self.errors, self.attempts, self.ask = errors, [0, 0, 0], ask
        self._lock = threading.Lock()
        self.graph = kit.graph(MessagesState, one=self.one)

    def one(self, state):
        index = kit.rollout_index()
        with self._lock:
            tried = self.attempts[index]
            self.attempts[index] += 1
        reply = kit.say(*PEAKS).invoke("?")
        if index == 1 and tried < len(self.errors):
            raise self.errors[tried]
        return {"messages": [reply]}


def errors_of(result):
    return [c.error for c in result.selection.candidates]


@pytest.fixture
def pauses(monkeypatch):
    """The waits between attempts, which are not waited for."""
    waited = []
    sleep = asyncio.sleep

    async def asleep(seconds, *args):
        if seconds:
            waited.append(seconds)
        await sleep(0)

    def slept(around, seconds):
        if seconds:
            waited.append(seconds)

    monkeypatch.setattr("ec_agent.insides.executors._sleep", slept)
    monkeypatch.setattr("ec_agent.support.plans.asyncio.sleep", asleep)
    return waited


@pytest.mark.parametrize(
    "value", ["3", 3, RetryPolicy, [RetryPolicy(), None], {"max_attempts": 2}, {RetryPolicy()}, object()], ids=named
)
def test_anything_but_a_policy_is_refused(value):
    with pytest.raises(ConfigError, match=r"retry is .*give a RetryPolicy"):
        best_of_n(kit.chat(kit.say(*PEAKS)), retry=value)


@pytest.mark.parametrize("value", [None, [], ()])
def test_without_a_policy_nothing_is_retried(run, value):
    agent = Shaky(ConnectionError("down"))
    assert (
        errors_of(run.run(best_of_n(agent.graph, n=3, retry=value), {"messages": "go"}))[1] == "ConnectionError: down"
    )
    assert agent.attempts == [1, 1, 1]


@pytest.mark.parametrize("several", [False, True])
def test_a_retried_rollout_may_win(run, several):
    agent = Shaky(ConnectionError("down"))
    policy = RetryPolicy(**AT_ONCE)
    result = run.run(best_of_n(agent.graph, n=3, retry=[policy] if several else policy), {"messages": "go"})
    assert errors_of(result) == [None] * 3
    assert result.selection.winner == 1
    assert agent.attempts == [1, 2, 1]
    assert len(result.trajectories[1].calls) == 1  # the timeline is that of the attempt that counts
    assert kit.answers(result.output["messages"]) == ["answer 1"]


def test_tokens_of_failed_attempts_are_on_the_bill(run):
    agent = Shaky(ConnectionError("down"), ConnectionError("down"))
    result = run.run(best_of_n(agent.graph, n=3, retry=RetryPolicy(**AT_ONCE)), {"messages": "go"})
    assert result.selection.usage["generated_tokens"] == 5 * 20


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_there_are_at_most_max_attempts(run, attempts):
    agent = Shaky(*(ConnectionError(f"down {i}") for i in range(9)))
    policy = RetryPolicy(max_attempts=attempts, **AT_ONCE)
    result = run.run(best_of_n(agent.graph, n=3, retry=policy), {"messages": "go"})
    assert errors_of(result)[1] == f"ConnectionError: down {attempts - 1}"
    assert agent.attempts == [1, attempts, 1]


@pytest.mark.parametrize(
    ("kinds", "again"),
    [
        (LookupError, True),
        (ValueError, False),
        ((ValueError, LookupError), True),
        ([ValueError, LookupError], True),
        ((), False),
        (lambda error: "lost" in str(error), True),
        (lambda error: 0, False),
        (default_retry_on, False),
    ],
)
def test_retry_on_selects_the_errors(run, kinds, again):
    agent = Shaky(KeyError("lost"))
    if kinds is default_retry_on:
        agent = Shaky(ValueError("lost"))
    policy = RetryPolicy(retry_on=kinds, **AT_ONCE)
    assert (errors_of(run.run(best_of_n(agent.graph, n=3, retry=policy), {"messages": "go"}))[1] is None) == again
    assert agent.attempts == [1, 2 if again else 1, 1]


def test_the_default_is_langgraphs(run):
    for error in (ConnectionError("x"), ValueError("x"), RuntimeError("x"), KeyError("x")):
        agent = Shaky(error)
        run.run(best_of_n(agent.graph, n=3, retry=RetryPolicy(**AT_ONCE)), {"messages": "go"})
        assert agent.attempts[1] == (2 if default_retry_on(error) else 1)


def test_the_first_matching_policy_decides(run):
    policies = [
        RetryPolicy(retry_on=KeyError, max_attempts=1, **AT_ONCE),
        RetryPolicy(retry_on=LookupError, max_attempts=3, **AT_ONCE),
    ]
    for error, attempts in ((KeyError("x"), 1), (IndexError("x"), 3), (ValueError("x"), 1)):
        agent = Shaky(*[error] * 5)
        run.run(best_of_n(agent.graph, n=3, retry=policies), {"messages": "go"})
        assert agent.attempts[1] == attempts


def test_the_wait_grows_up_to_the_longest(run, pauses):
    agent = Shaky(*(ConnectionError("down") for _ in range(9)))
    policy = RetryPolicy(initial_interval=0.5, backoff_factor=3.0, max_interval=10.0, max_attempts=6, jitter=False)
    run.run(best_of_n(agent.graph, n=3, retry=policy), {"messages": "go"})
    assert pauses == [0.5, 1.5, 4.5, 10.0, 10.0]


def test_jitter_adds_up_to_a_second(run, pauses, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    agent = Shaky(ConnectionError("down"))
    run.run(best_of_n(agent.graph, n=3, retry=RetryPolicy(initial_interval=0.5)), {"messages": "go"})
    assert pauses == [1.5]


@pytest.mark.members(1)
def test_one_rollouts_wait_does_not_delay_others(run):
    agent = Shaky(ConnectionError("down"))
    started = time.monotonic()
    seconds = run.run(
        best_of_n(agent.graph, n=3, retry=RetryPolicy(initial_interval=2.0, jitter=False)), {"messages": "go"}
    )
    assert time.monotonic() - started >= 2.0
    assert all(c.seconds < 2.0 for c in seconds.selection.candidates)


def test_a_spent_budget_is_not_retried(run):
    asked = []

    def one(state):
        asked.append(kit.rollout_index())
        return {"messages": [kit.say(*PEAKS).invoke("?")]}

    node = best_of_n(
        kit.graph(MessagesState, one=one),
        n=3,
        retry=RetryPolicy(retry_on=Exception, **AT_ONCE),
        limits=Limits(token_budget=20, max_concurrency=1),
    )
    result = run.run(node, {"messages": "go"})
    assert asked == [0]
    assert all("TokenBudgetError: not started" in error for error in errors_of(result)[1:])


def test_a_rollout_cut_by_the_budget_is_not_retried(run):
    asked = []

    def one(state):
        asked.append(1)
        return {"messages": [kit.say(3).invoke("?"), kit.say(3).invoke("?")]}

    node = best_of_n(
        kit.graph(MessagesState, one=one),
        n=1,
        retry=RetryPolicy(retry_on=Exception, **AT_ONCE),
        limits=Limits(token_budget=20, over_budget="cut"),
    )
    with pytest.raises(AllRolloutsFailedError, match="TokenBudgetError: cut"):
        run.invoke(node, {"messages": "go"})
    assert asked == [1]


def test_each_attempt_has_its_own_tokens_and_time(run):
    agent = Shaky(ConnectionError("down"), ConnectionError("down"))
    limits = Limits(max_tokens=30, timeout=30)
    result = run.run(best_of_n(agent.graph, n=3, retry=RetryPolicy(**AT_ONCE), limits=limits), {"messages": "go"})
    assert errors_of(result) == [None] * 3


def test_each_attempt_has_a_fresh_environment_and_input(run):
    log, seen = [], []

    @contextmanager
    def world(index, known):
        log.append(("in", index))
        known["messages"].append("spoilt")
        yield {"marks": []}
        log.append(("out", index))

    class Marking(Shaky):
        def one(self, state):
            environment = get_environment()
            seen.append((len(environment["marks"]), len(state["messages"])))
            environment["marks"].append(1)
            state["messages"].append("spoilt")
            return super().one(state)

    agent = Marking(ConnectionError("down"), ConnectionError("down"))
    result = run.run(best_of_n(agent.graph, n=3, environment=world, retry=RetryPolicy(**AT_ONCE)), {"messages": "go"})
    assert errors_of(result) == [None] * 3
    assert seen == [(0, 1)] * 5
    assert [step for step, index in log if index == 1] == ["in", "out"] * 3


def test_an_environment_that_opens_at_the_second_try(run):
    tried = []

    @contextmanager
    def world(index, known):
        tried.append(index)
        if tried.count(index) == 1:
            raise ConnectionError("not yet")
        yield index

    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, environment=world, retry=RetryPolicy(**AT_ONCE))
    assert errors_of(run.run(node, {"messages": "go"})) == [None] * 3
    assert sorted(tried) == [0, 0, 1, 1, 2, 2]


def test_a_retry_on_that_raises_fails_its_rollout_alone(run):
    def kinds(error):
        raise RuntimeError("cannot tell")

    agent = Shaky(ConnectionError("down"))
    result = run.run(best_of_n(agent.graph, n=3, retry=RetryPolicy(retry_on=kinds)), {"messages": "go"})
    assert [error is None for error in errors_of(result)] == [True, False, True]


def test_a_cancelled_wait_ends_the_run():
    agent = Shaky(ConnectionError("down"))
    node = best_of_n(agent.graph, n=3, retry=RetryPolicy(initial_interval=60, jitter=False))

    async def main():
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(node.ainvoke({"messages": "go"}), 1)
        return time.monotonic() - started

    assert asyncio.run(main()) < 5
    assert agent.attempts == [1, 1, 1]


def test_a_rollout_that_wrote_nothing_is_retried(run):
    attempts = []

    def one(state):
        attempts.append(kit.rollout_index())
        reply = kit.say(*PEAKS).invoke("?")
        return {} if attempts.count(1) == 1 and kit.rollout_index() == 1 else {"messages": [reply]}

    policy = RetryPolicy(retry_on=NoFinalActionError, **AT_ONCE)
    result = run.run(best_of_n(kit.graph(MessagesState, one=one), n=3, retry=policy), {"messages": "go"})
    assert sorted(attempts) == [0, 1, 1, 2]
    assert errors_of(result) == [None] * 3
