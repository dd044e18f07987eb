"""``stop=`` under a checkpointer: a run that was killed goes on in its wave, and starts nothing twice."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from uuid import NAMESPACE_URL, uuid5

import kit
import pytest
from kit import THREAD
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from plans_at_work import Killed, Started, Upto, answer

from ec_agent import Limits, Ranking, Selection, StoppingError, best_of_n
from ec_agent.rollouts.question import Question
from ec_agent.stopping import More, Stop

pytestmark = kit.SAME
GO = {"messages": "go"}
ONE = Limits(max_concurrency=1)
SYNC = {"durability": "sync"}


class Receipt(kit.MessagesState, total=False):
    receipt: dict


class KillingPlan(Upto):
    """Is killed when it is asked for the so-manieth time."""

    def __init__(self, *given, kill):
        super().__init__(*given)
        self.kill = kill

    def enough(self, candidates, running, n):
        said = super().enough(candidates, running, n)
        if len(self.asked) == self.kill:
            raise Killed
        return said


def graph_of(agent, plan, saver, n=8, **options):
    node = best_of_n(agent.graph, n=n, stop=plan, selection_key="receipt", **options)
    return kit.outer(node, Receipt, checkpointer=saver)


def killed_and_resumed(run, agent, plan, **options):
    """What comes of a run that is killed, and taken up again by another process."""
    saver = InMemorySaver()
    with pytest.raises(Killed):
        run.invoke(graph_of(agent, plan, saver, **options), GO, THREAD, **SYNC)
    done = run.invoke(graph_of(agent, plan, saver, **options), None, THREAD, **SYNC)
    assert list(saver.storage) == ["t"]
    return done, Selection.from_dict(done["receipt"])


@pytest.mark.parametrize("kill", range(1, 7))
def test_killed_in_any_rollout(run, kill):
    agent = Started(kill=kill)
    _, selection = killed_and_resumed(run, agent, Upto(2, 5), limits=ONE)
    again = agent.indices[kill - 1]
    assert agent.counts == {index: 2 if index == again else 1 for index in range(6)}
    assert (selection.waves, selection.stopped, selection.winner) == ((2, 2, 2), "6 ended", 5)
    assert selection.usage["generated_tokens"] == 6 * 20


@pytest.mark.parametrize("kill", range(1, 5))
def test_killed_where_the_plan_is_asked(run, kill):
    agent, plan = Started(), KillingPlan(2, 5, kill=kill)
    _, selection = killed_and_resumed(run, agent, plan)
    assert agent.counts == dict.fromkeys(range(6), 1)
    assert (selection.waves, selection.winner) == ((2, 2, 2), 5)
    assert plan.asked[kill - 1] == plan.asked[kill]  # the same again, and no more


@pytest.mark.parametrize("kill", range(1, 7))
def test_killed_twice_in_one_wave(run, kill):
    agent, plan, saver = Started(kill=kill), Upto(3, 6), InMemorySaver()
    for _ in range(2):
        with pytest.raises(Killed):
            run.invoke(graph_of(agent, plan, saver, limits=ONE), GO if _ == 0 else None, THREAD, **SYNC)
        agent.kill = len(agent.indices) + 1
    agent.kill = None
    done = run.invoke(graph_of(agent, plan, saver, limits=ONE), None, THREAD, **SYNC)
    assert sum(agent.counts.values()) == 6 + 2
    assert Selection.from_dict(done["receipt"]).waves == (3, 3)


def test_the_budget_counts_what_was_spent_before_the_kill(run):
    agent, plan = Started(), KillingPlan(2, 8, kill=2)
    _, selection = killed_and_resumed(run, agent, plan, limits=Limits(token_budget=50, max_concurrency=1))
    assert [candidate.error is None for candidate in selection.candidates] == [True] * 3 + [False] * 5


class BrokenLater(Upto):
    broken = True

    def enough(self, candidates, running, n):
        if candidates and self.broken:
            raise ZeroDivisionError("division")
        return super().enough(candidates, running, n)


def test_a_plan_that_is_mended_goes_on_with_the_rollouts_there_are(run):
    agent, plan, saver = Started(), BrokenLater(2, 4), InMemorySaver()
    with pytest.raises(StoppingError, match=r"graph.invoke\(None, config\)"):
        run.invoke(graph_of(agent, plan, saver), GO, THREAD)
    plan.broken = False
    done = run.invoke(graph_of(agent, plan, saver), None, THREAD)
    assert agent.counts == dict.fromkeys(range(4), 1)
    assert answer(done) == "answer 3"


def test_a_smaller_n_than_was_started_is_enough(run):
    agent, plan, saver = Started(), KillingPlan(4, 99, kill=2), InMemorySaver()
    with pytest.raises(Killed):
        run.invoke(graph_of(agent, plan, saver), GO, THREAD, **SYNC)
    done = run.invoke(graph_of(agent, plan, saver, n=3), None, THREAD, **SYNC)
    selection = Selection.from_dict(done["receipt"])
    assert (agent.counts, selection.started, selection.planned) == (dict.fromkeys(range(4), 1), 4, 4)


def test_going_back_in_time_is_a_new_run_with_waves_of_its_own(run):
    agent, plan, saver = Started(), Upto(2, 4), InMemorySaver()
    graph = graph_of(agent, plan, saver)
    run.invoke(graph, GO, THREAD)
    first = next(each for each in graph.get_state_history(THREAD) if each.next == ("solve",))
    done = run.invoke(graph, None, first.config)
    assert agent.counts == dict.fromkeys(range(4), 2)
    assert Selection.from_dict(done["receipt"]).waves == (2, 2)


def test_the_next_turn_begins_with_a_first_wave(run):
    agent, plan, saver = Started(), Upto(2, 4), InMemorySaver()
    graph = graph_of(agent, plan, saver)
    for _ in range(2):
        done = run.invoke(graph, GO, THREAD)
        assert Selection.from_dict(done["receipt"]).waves == (2, 2)
    assert [asked[0] for asked in plan.asked] == [[], [0, 1]] * 2 or len(plan.asked) == 6


def test_without_stop_the_records_are_as_they_were(run):
    saver = InMemorySaver()
    agent = Started(kill=3)
    node = best_of_n(agent.graph, n=3, limits=ONE)
    with pytest.raises(Killed):
        run.invoke(kit.outer(node, checkpointer=saver), GO, THREAD, **SYNC)
    found = [
        record
        for each in saver.list(THREAD)
        for _, channel, value in each.pending_writes or []
        if channel == "records"
        for record in value
    ]
    assert len(found) == 2
    assert all(not {"wave", "stopped"} & set(record) for record in found)


# cancel=True


class Slow(Started):
    """Its first rollout ends; the others were there before, and wait in their first step for that."""

    def __init__(self, n, **more):
        super().__init__(**more)
        self.begun, self.n, self.over = [], n, False
        nodes = {"wait": (self._wait, self._await), "say": (self.say, self.asay)}
        self.graph = kit.graph(kit.MessagesState, **nodes)

    def _waits(self):
        return len(self.begun) < self.n or (kit.rollout_index() > 0 and not self.over)

    def _wait(self, state):
        self.begun.append(kit.rollout_index())
        while self._waits():
            time.sleep(0.005)
        return {}

    async def _await(self, state):
        self.begun.append(kit.rollout_index())
        while self._waits():
            await asyncio.sleep(0.005)
        return {}


class First:
    """Enough when the first has ended."""

    def __init__(self, agent, kill=False):
        self.agent, self.kill, self.asked = agent, kill, []

    def enough(self, candidates, running, n):
        self.asked.append(len(candidates))
        if not candidates:
            return More(n)
        if self.kill:
            self.kill = False
            self.agent.over = True
            raise Killed
        self.agent.over = True
        return Stop("one is there", (candidates[0].index,))


class KillingSelector:
    """Is killed when it is asked first."""

    name, signals = "killing", ()

    def __init__(self):
        self.kill = True

    def select(self, candidates):
        if self.kill:
            self.kill = False
            raise Killed
        return Ranking(tuple(candidate.index for candidate in candidates), {}, {})


def test_killed_once_all_is_over_nothing_starts_again(run):
    agent = Slow(4)
    selector = KillingSelector()
    done, selection = killed_and_resumed(run, agent, First(agent), n=4, cancel=True, selector=selector)
    assert sorted(agent.begun) == [0, 1, 2, 3]
    assert selection.usage["generated_tokens"] == 20
    assert (selection.ended, selection.cancelled, selection.started, selection.winner) == (1, 3, 4, 0)
    assert selection.stopped == "one is there"
    assert answer(done) == "answer 0"


class KilledLeaving:
    """Environments; the process is killed where a cancelled rollout leaves its own."""

    def __init__(self, index):
        self.index, self.entered = index, []

    def __call__(self, index, known):
        @contextmanager
        def world():
            self.entered.append(index)
            try:
                yield object()
            finally:
                if index == self.index:
                    self.index = None
                    raise Killed

        return world()

    def reopen(self, token):
        raise LookupError("gone")


@pytest.mark.parametrize("index", [1, 3])
def test_killed_while_one_is_cancelled_none_of_the_cancelled_starts_again(run, index):
    agent = Slow(4)
    worlds = KilledLeaving(index)
    _, selection = killed_and_resumed(run, agent, First(agent), n=4, cancel=True, environment=worlds)
    # The environment of the one that ended is gone with the process, so that one runs again, as without stop=.
    assert sorted(agent.begun) in ([0, 0, 1, 2, 3], [0, 1, 2, 3])
    assert sorted(worlds.entered) == sorted(agent.begun)
    assert (selection.ended, selection.winner) == (1, 0)
    assert selection.stopped == "one is there"


def test_the_plan_knows_who_ended_before_the_kill(run):
    agent, saver = Started(kill=4), InMemorySaver()
    plan = Upto(1, 5)
    with pytest.raises(Killed):
        run.invoke(graph_of(agent, plan, saver, n=8, cancel=True, limits=ONE), GO, THREAD, **SYNC)
    begun = list(agent.indices)
    plan.asked.clear()
    done = run.invoke(graph_of(agent, plan, saver, n=8, cancel=True, limits=ONE), None, THREAD, **SYNC)
    assert set(begun[:3]) < set(plan.asked[0][0])
    selection = Selection.from_dict(done["receipt"])
    assert (selection.ended, selection.planned, selection.stopped) == (5, 8, "5 ended")
    assert [index for index, count in agent.counts.items() if count > 1] == [begun[3]]  # the one that was killed


def test_what_the_killed_process_parked_is_deleted_though_its_record_was_not_saved(run, monkeypatch):
    monkeypatch.setattr(Question, "thread", lambda self, turn, place: f"{turn}/{place}")
    agent, saver = Started(kill=4), InMemorySaver()
    node = graph_of(agent, Upto(1, 5), saver, n=8, cancel=True, limits=ONE)
    with pytest.raises(Killed):
        run.invoke(node, GO, THREAD, **SYNC)
    parked = [str(uuid5(NAMESPACE_URL, f"0/{place}")) for place in (6, "6 memory", 7, "7 memory")]
    for thread in parked:
        where = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        saver.put(where, empty_checkpoint(), {}, {})
    assert set(saver.storage) == {"t", *parked}
    done = run.invoke(graph_of(agent, Upto(1, 5), saver, n=8, cancel=True, limits=ONE), None, THREAD, **SYNC)
    assert Selection.from_dict(done["receipt"]).cancelled + 5 <= 8
    assert set(saver.storage) == {"t"}
