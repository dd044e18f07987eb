"""``engine=``: the rollouts of a question on workers, and all else here. Without Ray: workers are in this process."""

from __future__ import annotations

import asyncio
import re
import threading

import kit
import pytest
import worker_agents
from fake_cluster import FakeEngine
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.store.memory import InMemoryStore
from langgraph.types import RetryPolicy
from pages_kit import blocks_of
from plans_at_work import Upto

from ec_agent import AgentError, AllRolloutsFailedError, ConfigError, Limits, SelectionError, best_of_n
from ec_agent.engines import RayEngine
from ec_agent.engines.in_process import InProcess
from ec_agent.numbers.call_fields import pack_calls

pytestmark = [kit.SAME, pytest.mark.usefixtures("quick")]
GO = {"messages": "go"}


def receipt(selection):
    """A receipt without what differs from run to run."""
    plain = selection.to_dict()
    for each in plain["candidates"]:
        del each["seconds"]
    return plain


def timelines(result):
    """The calls of all rollouts, with each bit of their signals, without times."""
    calls = [pack_calls(trajectory) for trajectory in result.trajectories]
    return [[{**call, "started": None, "ended": None} for call in each] for each in calls]


def texts(actions):
    return [None if action is None else action.content for action in actions]


PLACES = ["plain", "made", "function", "coroutine", "using_a_tool", "of_two_calls"]


@pytest.mark.parametrize("name", [*PLACES, "several"])
def test_a_question_on_workers_is_the_question_here(run, asked, name):
    if name == "coroutine" and run.name == "sync":
        pytest.skip("an async function has no sync form here")
    names = ["plain", "made"] if name == "several" else [name]
    place = [f"worker_agents:{each}" for each in names]
    there = run.run(asked(place if len(place) > 1 else place[0]), GO)
    if name == "of_two_calls" and run.name == "sync":
        run = kit.Async()  # what workers run is async in any case
    here = run.run(best_of_n(place if len(place) > 1 else place[0], 4), GO)
    assert receipt(there.selection) == receipt(here.selection)
    assert there.selection.winner == 1
    assert timelines(there) == timelines(here)
    assert texts(there.final_actions) == texts(here.final_actions)
    assert kit.gist(there.output["messages"]) == kit.gist(here.output["messages"])


def test_workers_are_started_once_and_stand_ready_until_they_are_closed(run, asked, engine):
    node = asked("worker_agents:plain")
    for _ in range(2):
        assert run.run(node, GO).selection.winner == 1
        assert run.invoke(kit.outer(node), GO)["messages"][-1].content == "answer 1"
    assert len(engine.clusters) == 1
    node.close()
    assert not engine.actors
    assert run.run(node, GO).selection.winner == 1
    assert len(engine.clusters) == 2
    asyncio.run(node.aclose())
    assert not engine.actors


def test_what_the_page_says_runs(engine, tmp_path, monkeypatch):
    (tmp_path / "my_module.py").write_text("from worker_agents import plain as agent")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("ec_agent.engines.RayEngine", lambda **given: engine)
    (block,) = [each.text for each in blocks_of("docs/scale.md") if "best_of_n(" in each.text]
    exec(block.replace("n=8", "n=4"), {})
    assert len(engine.clusters) == 1
    assert not engine.actors


def test_questions_asked_at_once_share_the_workers(asked, engine):
    node = asked("worker_agents:plain")

    async def several():
        return await asyncio.gather(*(node.arun(GO) for _ in range(5)))

    assert [result.selection.winner for result in asyncio.run(several())] == [1] * 5
    assert len(engine.clusters) == 1
    assert max(actor.most for actor in engine.actors) > 1


def test_a_node_writes_what_it_writes_here_and_goes_where_it_goes(run, asked):
    def graph(node):
        state = type("State", (MessagesState,), {"__annotations__": {"receipt": dict}})
        return kit.graph(state, solve=node, checkpointer=InMemorySaver())

    options = {"n": 4, "selection_key": "receipt", "output": lambda final: {"messages": final["messages"][-1:]}}
    done = [
        run.invoke(graph(node), GO, kit.THREAD)
        for node in (asked("worker_agents:plain", **options), best_of_n(worker_agents.plain, **options))
    ]
    assert kit.gist(done[0]["messages"]) == kit.gist(done[1]["messages"])
    winners = [each["receipt"]["winner"] for each in done]
    assert winners == [1, 1]


def test_waves_start_when_the_plan_says_so(run, asked):
    plans = Upto(2, 4), Upto(2, 4)
    there = run.run(asked("worker_agents:of_two_calls", n=8, stop=plans[0]), GO).selection
    here = kit.Async().run(best_of_n("worker_agents:of_two_calls", n=8, stop=plans[1]), GO).selection
    assert receipt(there) == receipt(here)
    assert there.waves == (2, 2)
    assert plans[0].asked == plans[1].asked


def test_rollouts_that_are_no_longer_needed_are_stopped_on_their_workers(run, asked):
    for index in range(2, 6):
        worker_agents.at[index] = worker_agents.for_ever
    result = run.run(asked("worker_agents:of_two_calls", n=6, stop=Upto(6, 2), cancel=True), GO)
    assert (result.selection.ended, result.selection.cancelled) == (2, 4)
    begun = [len(trajectory.calls) for trajectory in result.trajectories]
    assert begun[:2] == [2, 2]
    assert set(begun[2:]) <= {0, 1}
    assert result.selection.usage["generated_tokens"] == 20 * sum(begun)


def test_attempts_are_made_on_the_worker_and_all_their_tokens_count(run, asked):
    failed = []

    async def once():
        if not failed:
            failed.append("once")
            raise LookupError("not there yet")

    worker_agents.at[2] = once
    retry = RetryPolicy(initial_interval=0.0, jitter=False, retry_on=LookupError)
    result = run.run(asked("worker_agents:of_two_calls", retry=retry), GO)
    assert result.selection.usage["generated_tokens"] == 4 * 40 + 20
    assert [candidate.error for candidate in result.selection.candidates] == [None] * 4


def test_a_rollout_that_fails_is_a_failed_candidate_with_its_own_error(run, asked):
    async def fail():
        raise UnpicklableError("one", "two")

    worker_agents.at |= {1: fail}
    selection = run.run(asked("worker_agents:of_two_calls"), GO).selection
    assert selection.candidates[1].error == "UnpicklableError: one"
    assert selection.winner != 1
    worker_agents.at |= dict.fromkeys(range(4), fail)
    with pytest.raises(AllRolloutsFailedError, match="rollout 3: UnpicklableError: one") as caught:
        run.run(asked("worker_agents:of_two_calls"), GO)
    assert "UnpicklableError: one" in str(caught.value.__cause__.exceptions[0])


class UnpicklableError(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def test_limits_hold_on_workers(run, asked):
    worker_agents.at[0] = worker_agents.for_ever
    limits = Limits(timeout=0.5)
    selection = run.run(asked("worker_agents:of_two_calls", limits=limits), GO).selection
    assert selection.candidates[0].error.startswith("RolloutTimeoutError: the rollout took longer than 0.5 s")
    limits = Limits(token_budget=40, max_concurrency=1)
    selection = run.run(asked("worker_agents:plain", limits=limits), GO).selection
    assert [c.error for c in selection.candidates[:2]] == [None, None]
    for candidate in selection.candidates[2:]:
        assert candidate.error == "TokenBudgetError: not started: 40 of token_budget=40 tokens were spent; allow more"


def test_others_wait_until_the_server_has_read_the_prompt(run, asked):
    events = []
    run.run(asked("worker_agents:plain", share_prompt=True), GO, on_event=events.append)
    started = [event["type"] for event in events if event["type"].startswith("ec_agent.rollout.")]
    assert started[:2] == ["ec_agent.rollout.started", "ec_agent.rollout.call"]
    assert started[2:4] != ["ec_agent.rollout.started", "ec_agent.rollout.started"]


# Workers that die


def kill_once(engine):
    """Kill the worker of a rollout, the first time that it comes here."""
    killed = []

    async def kill():
        if not killed:
            killed.append("once")
            end(engine)
            await worker_agents.for_ever()

    return kill


def end(engine):
    for actor in engine.actors:
        if actor.running:
            actor.kill()


def test_what_is_lost_with_a_worker_runs_again_and_counts_once(run, asked):
    engine = FakeEngine(workers=1)
    worker_agents.at[2] = kill_once(engine)
    events = []
    there = run.run(asked("worker_agents:of_two_calls", engine=engine), GO, on_event=events.append)
    here = kit.Async().run(best_of_n("worker_agents:of_two_calls", 4), GO)
    assert timelines(there) == timelines(here)
    assert there.selection.usage == here.selection.usage
    (note,) = set(there.selection.warnings) - set(here.selection.warnings)
    assert re.match(
        r"rollouts were lost with their workers [1-4] times and ran .* at least \d+ tokens, is not in the usage", note
    )
    ends = [event["index"] for event in events if event["type"] == "ec_agent.rollout.finished" and not event["error"]]
    assert sorted(ends) == [0, 1, 2, 3]


def test_a_rollout_whose_workers_die_each_time_is_a_failed_candidate(run, asked):
    engine = FakeEngine(workers=1)

    async def kill():
        end(engine)
        await worker_agents.for_ever()

    worker_agents.at[1] = kill
    selection = run.run(asked("worker_agents:of_two_calls", engine=engine), GO).selection
    assert selection.candidates[1].error.startswith("WorkerLostError: its worker died each of the 3 times")
    assert [candidate.error for candidate in selection.candidates if candidate.index != 1] == [None] * 3
    assert selection.winner != 1


# Runs that end early


def test_who_leaves_the_run_cancels_its_rollouts_on_the_workers(asked, engine):
    left, begun = [], threading.Event()

    async def hang():
        begun.set()
        try:
            await worker_agents.for_ever()
        finally:
            left.append("left")

    worker_agents.at |= dict.fromkeys(range(4), hang)

    async def leave():
        running = asyncio.ensure_future(asked("worker_agents:of_two_calls").arun(GO))
        await asyncio.to_thread(begun.wait, 30)
        running.cancel()
        await asyncio.wait([running])
        while any(actor.running for actor in engine.actors) or not left:
            await asyncio.sleep(0.01)

    asyncio.run(leave())
    assert set(left) == {"left"}


def test_an_error_beside_it_cancels_its_rollouts_on_the_workers(asked, engine):
    begun = threading.Event()

    async def hang():
        begun.set()
        await worker_agents.for_ever()

    worker_agents.at |= dict.fromkeys(range(4), hang)

    def fail(state):
        assert begun.wait(30)
        raise LookupError("beside")

    builder = kit.StateGraph(MessagesState)
    builder.add_node("solve", asked("worker_agents:of_two_calls"))
    builder.add_node("fail", fail)
    builder.add_edge(kit.START, "solve").add_edge(kit.START, "fail")
    with pytest.raises(LookupError, match="beside"):
        builder.compile().invoke(GO)


# What is refused


class Hears(BaseCallbackHandler):
    pass


class Counting(InMemorySaver):
    def get_next_version(self, current, channel):
        return (current or 0) + 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"agent": worker_agents.plain},
            r"an object cannot be sent .it is of type CompiledStateGraph.; name the",
        ),
        ({"agent": ["worker_agents:plain", worker_agents.plain]}, "an object cannot be sent"),
        ({"agent": "worker_agents:nothing"}, "worker_agents has no nothing; check the spelling"),
        ({"agent": "no_such_module:agent"}, "there is no module no_such_module"),
        (
            {"limits": Limits(token_budget=9, over_budget="cut")},
            'cannot be had with engine=.*give over_budget="finish"',
        ),
        ({"environment": lambda index, state: None}, "environment= has no reopen.token"),
        ({"engine": "ray"}, "engine is 'ray'; give RayEngine"),
        ({"engine": RayEngine}, "engine is <class .*RayEngine'>; give RayEngine"),
        ({"engine": InProcess(2)}, "engine is .*InProcess.*; give RayEngine"),
    ],
)
def test_what_workers_cannot_have_is_refused_when_it_is_made(engine, options, said):
    given = {"agent": "worker_agents:plain", "engine": engine, **options}
    with pytest.raises(ConfigError, match=said):
        best_of_n(given.pop("agent"), n=2, **given)
    assert not engine.clusters


@pytest.mark.parametrize(
    ("around", "config", "said"),
    [
        ({}, {"callbacks": [Hears()]}, r"the run's callbacks have .*Hears.*; give it to the agent"),
        ({"store": InMemoryStore()}, {}, r"the graph around has a store .InMemoryStore., which workers cannot reach"),
        ({"checkpointer": Counting()}, kit.THREAD, "the checkpointer Counting numbers versions otherwise"),
    ],
)
def test_what_workers_cannot_reach_is_refused_before_they_are_started(run, asked, engine, around, config, said):
    with pytest.raises(ConfigError, match=said):
        run.invoke(kit.outer(asked("worker_agents:plain"), **around), GO, config)
    assert not engine.clusters


def test_options_that_cannot_be_sent_are_named(run, asked):
    lock = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent to the workers"):
        run.run(asked("worker_agents:plain", sampling=lambda index: {"seed": id(lock)}), GO)


@pytest.mark.parametrize(
    ("config", "context", "said"),
    [
        (
            {},
            {"user": threading.Lock()},
            r"^what all rollouts of this question are given \(its state and context=\) cannot",
        ),
        (
            {"configurable": {"mine": threading.Lock()}},
            None,
            r"^what rollout 0 is given \(its state, configurable, meta",
        ),
        (
            {"metadata": {"mine": threading.Lock()}},
            None,
            r"^what rollout 0 is given \(its state, configurable, metadata",
        ),
    ],
    ids=["context", "configurable", "metadata"],
)
def test_what_a_question_brings_that_cannot_be_sent_is_named_before_a_rollout_runs(run, asked, config, context, said):
    seen = []
    with pytest.raises(ConfigError, match=said):
        run.run(asked("worker_agents:plain", n=1), GO, config, context=context, on_event=seen.append)
    assert not [event for event in seen if event["type"] == "ec_agent.rollout.call"]


@pytest.mark.parametrize("text", ["agent", "my_module", "my module:agent", ""])
def test_a_text_that_is_no_place_is_told_what_a_place_is(text):
    with pytest.raises(AgentError, match=f"the agent is '{text}', which names no place; write \"module:name\""):
        best_of_n(text, n=2)


def test_a_question_inside_a_rollout_has_no_engine_of_its_own(run, asked):
    inner = asked("worker_agents:plain")
    with pytest.raises(SelectionError, match="engine= is given to a best_of_n inside a rollout of another one"):
        run.invoke(best_of_n(kit.outer(inner), n=2), GO)


def test_an_agent_may_be_named_by_its_place_without_an_engine(run):
    assert run.run(best_of_n("worker_agents:made", 4), GO).selection.winner == 1
    with pytest.raises(AgentError, match=r"the agent is .neither a place., which names no place"):
        best_of_n("neither a place")
