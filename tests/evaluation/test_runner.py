"""The run: what is run, how many at once, and within what budget."""

from __future__ import annotations

import dataclasses
import threading
import warnings

import numpy as np
import pytest
from eval_fakes import Calls, InAWorld, Right, agent_of, contents, rollouts, seed, tasks, temperature
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt

from ec_agent import best_of_n
from ec_agent.environments.worlds import get_environment
from ec_agent.errors import ConfigError, EvaluationError, TraceError
from ec_agent.evaluation.report.run_facts import facts_of
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import aevaluate, evaluate, task_fingerprint
from ec_agent.evaluation.stored_results import load_results
from ec_agent.numbers.signals import SIGNALS
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.stored import Key

SMALL = RunSettings(n=3, seed=1)


def one_node(function):
    builder = StateGraph(MessagesState)
    builder.add_node("node", function)
    builder.add_edge(START, "node")
    return builder


def test_each_rollout_is_stored_with_its_verdict_and_every_signal(path):
    report = evaluate(tasks(2), agent_of(Calls()), path, SMALL)
    assert (report.stored, report.total, report.finished) == (8, 8, True)
    for rollout in [*rollouts(path), *rollouts(path, "greedy")]:
        right = rollout.seed % 3 == 0 and rollout.seed % 8 != 0
        assert rollout.verdict == float(right)
        assert (rollout.error is not None) == (rollout.seed % 8 == 0)
        first = rollout.trajectory.calls[0]
        assert set(first.signals) == set(SIGNALS) - {"entropy"}
        assert np.isfinite(first.signal("logprob")).all()
        assert len(first.texts) == first.tokens
        assert rollout.usage["generated_tokens"] == len(rollout.trajectory)


def test_seeds_come_from_the_run_the_task_and_the_index(tmp_path):
    assert SMALL.seed_of(Key("a", "sample", 0)) == RunSettings(n=9, seed=1).seed_of(Key("a", "sample", 0))
    evaluate(tasks(2), agent_of(Calls()), tmp_path / "a.db", SMALL)
    evaluate(tasks(2), agent_of(Calls()), tmp_path / "b.db", SMALL)
    evaluate(tasks(2), agent_of(Calls()), tmp_path / "c.db", dataclasses.replace(SMALL, seed=2))
    assert contents(tmp_path / "a.db") == contents(tmp_path / "b.db")
    same, other = ({r.seed for r in rollouts(tmp_path / name)} for name in ("a.db", "c.db"))
    assert len(same) == 6
    assert not same & other


def test_the_recorded_sampling_is_that_of_the_rollout(path):
    heard = []

    def note(state):
        heard.append((seed(), temperature()))
        return {"messages": [AIMessage("right")]}

    evaluate(tasks(2), one_node(note).compile(), path, SMALL)
    stored = [*rollouts(path), *rollouts(path, "greedy")]
    assert sorted(heard) == sorted((r.sampling["seed"], r.sampling["temperature"]) for r in stored)
    assert {r.sampling["temperature"] for r in rollouts(path)} == {0.8}
    assert {r.sampling["temperature"] for r in rollouts(path, "greedy")} == {0}
    assert all(r.seed == r.sampling["seed"] for r in stored)


def test_no_more_rollouts_run_at_once_than_allowed_and_as_many(path):
    calls = Calls(delay=0.03)
    evaluate(tasks(3), agent_of(calls), path, dataclasses.replace(SMALL, concurrency=2))
    assert calls.most == 2


def test_sync_agents_run_side_by_side_too(path):
    meeting = threading.Barrier(6, timeout=20)  # six must be there at once

    def meet(state):
        meeting.wait()
        return {"messages": [AIMessage("right")]}

    report = evaluate(tasks(2), meet, path, RunSettings(n=3, greedy=False, concurrency=6))
    assert not report.failures


def test_a_resumed_run_runs_nothing_again(path):
    calls = Calls()
    whole = evaluate(tasks(2), agent_of(calls), path, SMALL)
    assert len(calls.seeds) > 0
    calls.seeds.clear()
    again = evaluate(tasks(2), agent_of(calls), path, SMALL)
    assert calls.seeds == []
    assert again == whole


async def test_inside_an_event_loop_aevaluate_is_the_one_that_runs(tmp_path):
    with pytest.raises(ConfigError, match=r"inside an event loop.*await aevaluate"):
        evaluate(tasks(1), agent_of(Calls()), tmp_path / "a.db", SMALL)
    report = await aevaluate(tasks(1), agent_of(Calls()), tmp_path / "a.db", SMALL)
    assert report.finished
    await aevaluate(tasks(1), agent_of(Calls(), asynchronous=False), tmp_path / "b.db", SMALL)
    assert contents(tmp_path / "a.db") == contents(tmp_path / "b.db")


def test_failed_rollouts_are_run_again_on_request_and_no_others(path):
    down = [True]

    def answer(state):
        if down[0] and seed() % 2:
            raise ConnectionError("nobody there")
        return {"messages": [AIMessage("right")]}

    first = evaluate(tasks(3), answer, path, SMALL)
    assert 0 < len(first.failures) < 12
    failed = {key for key, _ in first.failures}
    before = {rollout.key: rollout.started for rollout in [*rollouts(path), *rollouts(path, "greedy")]}
    down[0] = False
    assert evaluate(tasks(3), answer, path, SMALL).failures == first.failures
    again = evaluate(tasks(3), answer, path, SMALL, retry_failed=True)
    assert (again.failures, again.stored) == ((), 12)
    after = {rollout.key: rollout.started for rollout in [*rollouts(path), *rollouts(path, "greedy")]}
    assert {key for key in after if after[key] != before[key]} == failed


def test_the_token_budget_ends_a_run_that_goes_on_with_a_larger_one(path):
    calls = Calls()
    budget = dataclasses.replace(SMALL, concurrency=1, token_budget=50)
    report = evaluate(tasks(4), agent_of(calls), path, budget)
    spent = sum(rollout.usage["generated_tokens"] for rollout in [*rollouts(path), *rollouts(path, "greedy")])
    last = max([*rollouts(path), *rollouts(path, "greedy")], key=lambda rollout: rollout.started)
    assert not report.finished
    assert spent >= 50 > spent - last.usage["generated_tokens"]
    first = set(calls.seeds)
    calls.seeds.clear()
    assert evaluate(tasks(4), agent_of(calls), path, budget).stored == report.stored  # still spent
    assert calls.seeds == []
    assert evaluate(tasks(4), agent_of(calls), path, dataclasses.replace(budget, token_budget=None)).finished
    assert not first & set(calls.seeds)


def test_what_is_run_again_was_paid_for_and_counts_in_budget_and_costs(path):
    first = evaluate(tasks(4), agent_of(Calls()), path, dataclasses.replace(SMALL, n=8))
    failed = sum(
        len(one.trajectory.calls) for kind in ("sample", "greedy") for one in rollouts(path, kind) if one.error
    )
    spent = first.costs["model_calls"]
    assert failed
    calls = Calls()
    budget = dataclasses.replace(SMALL, n=8, call_budget=spent, concurrency=1)
    stopped = evaluate(tasks(4), agent_of(calls), path, budget, retry_failed=True)
    assert (calls.seeds, stopped.finished, stopped.costs) == ([], False, first.costs)
    again = evaluate(tasks(4), agent_of(calls), path, dataclasses.replace(budget, call_budget=None))
    assert (again.finished, again.costs["model_calls"]) == (True, spent + failed)
    twice = evaluate(tasks(4), agent_of(calls), path, dataclasses.replace(budget, call_budget=None), retry_failed=True)
    assert twice.costs["model_calls"] == spent + 2 * failed
    assert facts_of(path, []).costs == twice.costs


def test_the_call_budget_ends_a_run_that_goes_on_with_a_larger_one(path):
    calls = Calls()
    budget = dataclasses.replace(SMALL, concurrency=1, call_budget=5)
    report = evaluate(tasks(4), agent_of(calls), path, budget)
    made = sum(task.model_calls for task in report.tasks)
    assert not report.finished
    assert 5 <= made <= 6  # two a rollout
    calls.seeds.clear()
    assert evaluate(tasks(4), agent_of(calls), path, budget).stored == report.stored  # still spent
    assert calls.seeds == []
    assert evaluate(tasks(4), agent_of(calls), path, dataclasses.replace(budget, call_budget=None)).finished


def test_a_rollout_over_its_own_limits_is_a_failure(path):
    limited = dataclasses.replace(SMALL, max_tokens=3)
    evaluate(tasks(1), agent_of(Calls()), path, limited)
    assert all(rollout.error.startswith("TokenLimitError") for rollout in rollouts(path))
    slow = dataclasses.replace(SMALL, timeout=0.05)
    evaluate(tasks(1), agent_of(Calls(delay=5)), path.with_name("slow.db"), slow)
    assert all(rollout.error.startswith("RolloutTimeoutError") for rollout in rollouts(path.with_name("slow.db")))


def test_a_rollout_of_too_many_steps_is_a_failure(path):
    evaluate(tasks(1), agent_of(Calls()), path, dataclasses.replace(SMALL, recursion_limit=2))
    assert all(rollout.error.startswith("GraphRecursionError") for rollout in rollouts(path))


def test_worlds_are_judged_while_open_and_left_whatever_happens(path):
    asked = [InAWorld("a"), InAWorld("b")]
    seen = []
    inner = agent_of(Calls())

    async def agent(state):
        seen.append(get_environment())
        return await inner.ainvoke(state)

    evaluate(asked, agent, path, dataclasses.replace(SMALL, n=8))
    worlds = [world for task in asked for world in task.worlds]
    assert len(worlds) == 18
    assert len({id(world) for world in worlds}) == 18
    assert not any(world["open"] for world in worlds)
    assert sorted(map(id, seen)) == sorted(map(id, worlds))
    failed = [rollout for kind in ("sample", "greedy") for rollout in rollouts(path, kind) if rollout.error]
    assert failed
    assert [world["judged"] for world in worlds].count(None) == len(failed)
    assert all(world["judged"] in (True, None) for world in worlds)


@pytest.mark.parametrize("kind", ["graph", "function", "async function", "best_of_n", "entrypoint"])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_agents_of_any_kind_are_run_and_judged(path, kind, asynchronous):
    graph = agent_of(Calls(), asynchronous)
    agents = {
        "graph": lambda: graph,
        "function": lambda: lambda state: {"messages": [AIMessage("right")]},
        "async function": lambda: _async_function,
        "best_of_n": lambda: best_of_n(graph, n=2, on_unscored="first"),
        "entrypoint": _entrypoint,
    }
    report = evaluate(tasks(1), agents[kind](), path, dataclasses.replace(SMALL, n=2))
    assert report.finished
    assert {r.error and r.error.split(":")[0] for r in rollouts(path)} <= {None, "ValueError", "AllRolloutsFailedError"}


async def _async_function(state):
    return {"messages": [AIMessage("right")]}


def _entrypoint():
    from langgraph.func import entrypoint, task

    @task
    def answer():
        return AIMessage("right")

    @entrypoint()
    def agent(state):
        return {"messages": [answer().result()]}

    return agent


def test_a_factory_makes_an_agent_for_each_task(path):
    made = []

    def make(task):
        made.append(task.id)
        return one_node(lambda state: {"messages": [AIMessage("right" if task.id == "task 1" else "wrong")]}).compile()

    report = evaluate(tasks(3), make, path, SMALL)
    assert made == ["task 0", "task 1", "task 2"]
    assert [task.solved for task in report.tasks] == [0, 3, 0]

    def broken(task):
        raise KeyError(task.id)

    with pytest.raises(EvaluationError, match="agent factory broken failed"):
        evaluate(tasks(1), broken, path.with_name("other.db"), SMALL)


def test_rollouts_know_nothing_of_each_other(path):
    """A checkpointer and a store of the agent's own are left as they were before the evaluation."""
    store = InMemoryStore()
    store.put(("notes",), "old", {"text": "kept"})
    seen = []

    def note(state, *, store):
        seen.append((len(state["messages"]), [item.key for item in store.search(("notes",))]))
        store.put(("notes",), f"new {seed()}", {"text": "x"})
        return {"messages": [AIMessage("right")]}

    agent = one_node(note).compile(checkpointer=InMemorySaver(), store=store)
    evaluate(tasks(1), agent, path, SMALL)
    assert seen == [(1, ["old"])] * 4
    assert [item.key for item in store.search(("notes",))] == ["old"]
    assert list(agent.checkpointer.list(None)) == []


def test_a_question_to_a_person_is_a_failure(path):
    def ask(state):
        return {"messages": [AIMessage(interrupt("may I?"))]}

    evaluate(tasks(1), one_node(ask).compile(), path, SMALL)
    assert all(rollout.error.startswith("RolloutInterruptedError") for rollout in rollouts(path))


def test_nothing_is_said_of_identical_rollouts(path):
    model = ScriptedChatModel(lambda messages, index: Reply("right", entropies=[0.1, 0.2]))
    agent = one_node(lambda state: {"messages": [model.invoke(state["messages"])]}).compile()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(tasks(1), agent, path, SMALL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 4}, "n was 3, and is 4 now"),
        ({"seed": 2}, "seed was 1, and is 2 now"),
        ({"temperature": 0.5}, r"temperature was 0.8, and is 0.5 now"),
        ({"greedy": False}, "greedy was True, and is False now"),
        ({"max_tokens": 9}, "max_tokens was None, and is 9 now"),
        ({"timeout": 9.5}, "timeout was None, and is 9.5 now"),
        ({"recursion_limit": 50}, "recursion_limit was 100, and is 50 now"),
        ({"request_logprobs": True}, "request_logprobs was False, and is True now"),
    ],
)
def test_a_file_of_other_settings_is_refused(path, change, words):
    evaluate(tasks(1), agent_of(Calls()), path, SMALL)
    with pytest.raises(TraceError, match=words):
        evaluate(tasks(1), agent_of(Calls()), path, dataclasses.replace(SMALL, **change))


def test_a_file_of_other_tasks_or_another_agent_is_refused(path):
    evaluate(tasks(2), agent_of(Calls()), path, SMALL)
    with pytest.raises(TraceError, match="1 tasks are new: 'task 2'"):
        evaluate(tasks(3), agent_of(Calls()), path, SMALL)
    with pytest.raises(TraceError, match="1 tasks are gone: 'task 1'"):
        evaluate(tasks(1), agent_of(Calls()), path, SMALL)
    with pytest.raises(TraceError, match="1 tasks ask something else: 'task 0'"):
        evaluate([Right("task 0", "Else?"), tasks(2)[1]], agent_of(Calls()), path, SMALL)
    with pytest.raises(TraceError, match="agent was 'asker', and is 'other' now"):
        evaluate(tasks(2), agent_of(Calls()), path, SMALL, agent_name="other")


def test_what_does_not_change_a_rollout_may_differ(path):
    whole = evaluate(tasks(1), agent_of(Calls()), path, SMALL)
    relaxed = dataclasses.replace(SMALL, concurrency=1, token_budget=10**6, call_budget=10**6)
    assert evaluate(tasks(1), agent_of(Calls()), path, relaxed) == whole


def test_inputs_of_objects_have_the_same_fingerprint_in_every_process():
    assert task_fingerprint(Right("a", {"x": object()})) == task_fingerprint(Right("a", {"x": object()}))
    assert task_fingerprint(Right("a", {"x": 1})) != task_fingerprint(Right("a", {"x": 2}))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there is no task"),
        ([Right("a"), Right("a")], "two tasks have the id 'a'"),
        (["a"], "task 0 is str, which is no task"),
        ([Right], "which is no task"),
        ([Right("")], "has the id ''"),
        ([Right(3)], "has the id 3"),
        ([Right("a\ud800")], "no whole Unicode text"),
    ],
)
def test_tasks_it_cannot_run_are_refused_before_a_file_is_made(path, given, words):
    with pytest.raises(ConfigError, match=words):
        evaluate(given, agent_of(Calls()), path, SMALL)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0}, "n is 0"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"temperature": 0}, "temperature is 0; give a number above 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"token_budget": 0}, "token_budget is 0"),
        ({"call_budget": 0}, "call_budget is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"timeout": -1}, "timeout is -1"),
        ({"timeout": float("inf")}, "timeout is inf; leave it out"),
        ({"recursion_limit": 0}, "recursion_limit is 0"),
    ],
)
def test_settings_it_cannot_have_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        RunSettings(**change)


def test_results_are_read_back_as_they_were_stored(path):
    evaluate(tasks(2), agent_of(Calls()), path, dataclasses.replace(SMALL, n=8))
    results = load_results(path)
    assert [result.task for result in results] == ["task 0", "task 1"]
    for result, stored in zip(results, (rollouts(path)[:8], rollouts(path)[8:]), strict=True):
        assert [candidate.index for candidate in result.candidates] == list(range(8))
        assert result.correct.tolist() == [rollout.verdict for rollout in stored]
        assert result.greedy in (0.0, 1.0)
        for candidate, rollout in zip(result.candidates, stored, strict=True):
            assert candidate.error == rollout.error
            assert candidate.eligible == (rollout.error is None)
            assert candidate.trajectory.entropies.dtype == np.float64
            for name in SIGNALS:
                assert len(candidate.trajectory.signal(name)) == len(candidate.trajectory) > 0
    assert any(candidate.error for result in results for candidate in result.candidates)


def test_results_without_logprobs_are_unscored(path):
    model = ScriptedChatModel(lambda messages, index: Reply("right", tokens=4))
    agent = one_node(lambda state: {"messages": [model.invoke(state["messages"])]}).compile()
    evaluate(tasks(1), agent, path, SMALL)
    (result,) = load_results(path)
    assert {candidate.unscored for candidate in result.candidates} == {"coverage"}
    assert result.correct.tolist() == [1, 1, 1]


def test_a_run_that_is_not_finished_is_not_read_by_mistake(path):
    budget = dataclasses.replace(SMALL, concurrency=1, token_budget=80)
    evaluate(tasks(4), agent_of(Calls()), path, budget)
    with pytest.raises(TraceError, match=r"is not finished: [1-4] of 4 tasks lack rollouts"):
        load_results(path)
    whole = load_results(path, partial=True)
    assert 0 < len(whole) < 4
    assert all(len(result.candidates) == 3 for result in whole)
