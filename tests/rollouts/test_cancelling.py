"""``stop=`` with ``cancel=True``: all start at once, and once enough is known the others go no further."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import kit
import pytest
from langchain_core.tools import tool
from langgraph.graph import MessagesState
from langgraph.types import RetryPolicy
from mailing import by_hand
from plans_at_work import Upto, answer
from worlds import Worlds

from ec_agent import ConfigError, Limits, StoppingError, best_of_n, read_only
from ec_agent.stopping import More, Stop
from ec_agent.testing import Reply, ScriptedChatModel

pytestmark = kit.SAME
GO = {"messages": "go"}
FIRST = 2  # so many end at once; the others wait for them


class Race:
    """An agent of two calls; rollouts from ``FIRST`` on stay in the first step until the others have ended.

    In a sync run they have made their first call by then; in an async one they await for longer than any test lasts.
    """

    def __init__(self, first=FIRST, ended=None):
        self.first, self.calls, self.ended = first, [], ended or threading.Event()
        self.begun, self.expected = set(), 0  # the first wait until so many have begun
        self._lock = threading.Lock()

        def script(messages, index):
            with self._lock:
                self.calls.append(index)
            second = len(messages) > 1
            return Reply(f"answer {index}", entropies=[0.1] * 20 if second else kit.peak(19 - index))

        self.model = ScriptedChatModel(script)
        self.graph = kit.graph(MessagesState, one=(self.one, self.aone), two=(self.two, self.atwo))

    def one(self, state):
        self.begun.add(kit.rollout_index())
        said = self.model.invoke(state["messages"])
        if kit.rollout_index() >= self.first:
            assert self.ended.wait(30)
        while len(self.begun) < self.expected:
            time.sleep(0.005)
        return {"messages": [said]}

    def two(self, state):
        return {"messages": [self.model.invoke(state["messages"])]}

    async def aone(self, state):
        self.begun.add(kit.rollout_index())
        if kit.rollout_index() >= self.first:
            await asyncio.sleep(300)
        while len(self.begun) < self.expected:
            await asyncio.sleep(0.005)
        return {"messages": [await self.model.ainvoke(state["messages"])]}

    async def atwo(self, state):
        return {"messages": [await self.model.ainvoke(state["messages"])]}

    def plan(self, **more):
        return Ended(self, **more)


class Ended(Upto):
    """Enough once the race's first have ended, which it tells those who wait."""

    def __init__(self, race, among=None):
        super().__init__(1, race.first, among)
        self.race = race

    def enough(self, candidates, running, n):
        said = super().enough(candidates, running, n)
        if isinstance(said, Stop):
            self.race.ended.set()
        return said


def raced(run, n=6, race=None, plan=None, **options):
    race = race or Race()
    plan = plan or race.plan()
    race.expected = race.expected or (0 if "limits" in options else n)
    return race, plan, run.run(best_of_n(race.graph, n=n, stop=plan, cancel=True, **options), GO)


def test_all_start_and_the_rest_is_cancelled(run):
    race, plan, result = raced(run)
    selection = result.selection
    assert [asked[0] for asked in plan.asked] in ([[], [0], [0, 1]], [[], [1], [0, 1]])
    assert [(running > 0, n) for _, running, n in plan.asked] == [(False, 6), (True, 6), (True, 6)]
    counts = (selection.planned, selection.started, selection.ended, selection.cancelled)
    assert counts == (6, 6, 2, 4)
    assert (selection.waves, selection.stopped) == ((6,), "2 ended")
    assert [candidate.index for candidate in selection.candidates] == [0, 1]
    assert selection.winner == 1
    assert answer(result.output) == "answer 1"
    # A sync call comes to its end, and is paid for; an awaited one is not made.
    made = 1 if run.name == "sync" else 0
    assert [race.calls.count(index) for index in range(6)] == [2, 2, *[made] * 4]
    assert selection.usage["generated_tokens"] == 20 * len(race.calls)
    assert [len(trajectory.calls) for trajectory in result.trajectories] == [2, 2, *[made] * 4]
    assert result.final_actions[2:] == (None,) * 4
    assert selection.saved_tokens == 4 * (40 - 20 * made)
    assert "cancelled" in str(selection)


def test_the_winner_may_have_any_index(run):
    class Last(Race):
        def one(self, state):
            self.begun.add(kit.rollout_index())
            while len(self.begun) < self.expected:
                time.sleep(0.005)
            if kit.rollout_index() != 3:
                assert self.ended.wait(30)
            return {"messages": [self.model.invoke(state["messages"])]}

        async def aone(self, state):
            if kit.rollout_index() != 3:
                await asyncio.sleep(300)
            return {"messages": [await self.model.ainvoke(state["messages"])]}

    race = Last(first=1)
    won = []
    _, _, result = raced(run, 5, race, route=lambda winner: won.append(winner.index) or "__end__")
    assert (result.selection.winner, [c.index for c in result.selection.candidates]) == (3, [3])
    assert answer(result.output) == "answer 3"
    assert result.final_actions[result.selection.winner].content == "answer 3"
    assert result.selection.won.index == 3
    assert len(result.trajectories) == 5
    assert "answer 3" in result.selection.to_html()


def test_waiting_rollouts_never_start(run):
    race, _, result = raced(run, 8, limits=Limits(max_concurrency=3))
    selection = result.selection
    assert selection.planned == 8
    assert selection.started < 8
    assert selection.started == selection.ended + selection.cancelled
    assert max(race.calls) < 7
    # Those under way were cancelled, the others left out.
    assert selection.saved_tokens >= (8 - selection.started) * 40


def test_environments_of_the_cancelled_are_left(kind):
    run, worlds = kind
    world = worlds()
    _, _, result = raced(run, environment=world)
    assert result.selection.cancelled == 4
    assert sorted(thing.index for thing in world.made) == list(range(6))
    assert world.left_open == []


@pytest.mark.parametrize("most", [2, 3])
def test_environments_of_those_that_never_start_are_never_made(run, most):
    world = Worlds()
    _, _, result = raced(run, 8, environment=world, limits=Limits(max_concurrency=most))
    assert len(world.made) == result.selection.started
    assert world.left_open == []


def test_a_tool_under_way_comes_to_its_end(run):
    begun, done, ended = threading.Barrier(3), [], threading.Event()

    def wait():
        begun.wait(30)
        assert ended.wait(30)
        time.sleep(0.05)
        done.append(kit.rollout_index())
        return "looked"

    @read_only
    @tool
    def look() -> str:
        """Look."""
        return wait()

    @read_only
    @tool
    async def alook() -> str:
        """Look."""
        await asyncio.to_thread(begun.wait, 30)
        await asyncio.to_thread(ended.wait, 30)
        await asyncio.sleep(0.05)
        done.append(kit.rollout_index())
        return "looked"

    name = "look" if run.name == "sync" else "alook"

    def script(messages, index):
        if index == 0:
            begun.wait(30)
            return Reply("answer 0", entropies=kit.peak(3))
        return Reply("", tool_calls=[(name, {})] if len(messages) < 3 else (), entropies=kit.peak(3))

    class First(Upto):
        def enough(self, candidates, running, n):
            said = super().enough(candidates, running, n)
            threading.Timer(0.1, ended.set).start()
            return said

    class Aside(ScriptedChatModel):
        """Waits in a thread, and not on the event loop."""

        async def _agenerate(self, *args, **kwargs):
            return await asyncio.to_thread(self._generate, *args, **kwargs)

    from langgraph.prebuilt import ToolNode

    agent = by_hand(Aside(script), ToolNode([look, alook]))
    result = run.run(best_of_n(agent, n=3, stop=First(1, 1), cancel=True), GO)
    assert sorted(done) == [1, 2]
    assert (result.selection.ended, result.selection.cancelled) == (1, 2)
    assert [len(trajectory.calls) for trajectory in result.trajectories] == [1, 1, 1]


def test_a_rollout_that_failed_or_waits_for_its_next_try_is_cancelled(run):
    class Lost(Race):
        def one(self, state):
            self.begun.add(kit.rollout_index())
            if kit.rollout_index() >= self.first:
                raise LookupError("lost")
            time.sleep(0.2)
            return super().one(state)

        async def aone(self, state):
            self.begun.add(kit.rollout_index())
            if kit.rollout_index() >= self.first:
                raise LookupError("lost")
            await asyncio.sleep(0.2)
            return await super().aone(state)

    policy = RetryPolicy(initial_interval=60.0, jitter=False, retry_on=LookupError)
    started = time.monotonic()
    _, _, result = raced(run, 4, Lost(), retry=policy)
    assert time.monotonic() - started < 30
    assert (result.selection.ended, result.selection.cancelled, len(result.selection.candidates)) == (2, 2, 2)


def test_who_failed_before_is_a_failed_candidate(run):
    class Lost(Race):
        def one(self, state):
            self.begun.add(kit.rollout_index())
            if kit.rollout_index() == 5:
                raise LookupError("lost")
            time.sleep(0.2)
            return super().one(state)

        async def aone(self, state):
            self.begun.add(kit.rollout_index())
            if kit.rollout_index() == 5:
                raise LookupError("lost")
            await asyncio.sleep(0.2)
            return await super().aone(state)

    selection = raced(run, 6, Lost())[2].selection
    assert [(c.index, c.error is None) for c in selection.candidates] == [(0, True), (1, True), (5, False)]
    assert (selection.ended, selection.cancelled) == (2, 3)


def test_where_the_plan_never_says_so_all_come_to_their_ends(run):
    race = Race(first=6)
    selection = raced(run, 6, race, plan=Upto(1, 99))[2].selection
    assert (selection.ended, selection.cancelled, selection.stopped, selection.saved_tokens) == (6, 0, None, 0)


def test_before_the_quorum_nothing_is_enough(run):
    race = Race(first=3)
    race.expected = 5  # all have begun before the first ends: one that has not is never started
    plan = Ended(race)
    plan.after = 1
    race.ended = threading.Event()
    selection = raced(run, 5, race, plan=plan, limits=Limits(quorum=3))[2].selection
    assert (selection.ended, selection.cancelled) in ((3, 2), (4, 1), (5, 0))
    assert selection.ended >= 3


def test_a_nested_question_stops_with_its_rollout(run):
    race = Race()
    inner = best_of_n(race.graph, n=2)

    class Outer(Upto):
        def enough(self, candidates, running, n):
            said = super().enough(candidates, running, n)
            if isinstance(said, Stop):
                race.ended.set()
            return said

    order, begun = itertools.count(), []  # the first answers once all three have begun, and they wait for its end

    def begin():
        mine = next(order)
        begun.append(mine)
        return mine == 0

    def ask(state):
        if not begin():
            return inner.invoke(state)
        while len(begun) < 3:
            time.sleep(0.005)
        return {"messages": [race.model.invoke("?")]}

    async def aask(state):
        if not begin():
            return await inner.ainvoke(state)
        while len(begun) < 3:
            await asyncio.sleep(0.005)
        return {"messages": [await race.model.ainvoke("?")]}

    race.first = 0
    agent = kit.graph(MessagesState, ask=(ask, aask), two=(race.two, race.atwo))
    result = run.run(best_of_n(agent, n=3, stop=Outer(1, 1), cancel=True), GO)
    assert (result.selection.ended, result.selection.cancelled) == (1, 2)
    assert result.selection.usage["generated_tokens"] == 20 * len(race.calls)


def test_a_plan_that_fails_costs_no_rollout(run):
    class Broken(Upto):
        def enough(self, candidates, running, n):
            self.asked.append(len(candidates))
            if candidates:
                raise ZeroDivisionError("division")
            return More(1)

    race, plan = Race(first=6), Broken(1, 1)
    with pytest.raises(StoppingError, match="Broken") as failed:
        raced(run, 4, race, plan=plan)
    assert plan.asked == [0, 1]
    assert [candidate.index for candidate in failed.value.candidates] == [0, 1, 2, 3]
    assert all(failed.value.outputs)


def test_events_tell_of_it(run):
    told, race = [], Race()
    race.expected = 5
    run.run(best_of_n(race.graph, n=5, stop=race.plan(), cancel=True), GO, on_event=told.append)
    kinds = [(event["type"].removeprefix("ec_agent."), event.get("index")) for event in told]
    assert [index for kind, index in kinds if kind == "rollout.finished"] in ([0, 1], [1, 0])
    assert sorted(index for kind, index in kinds if kind == "rollout.cancelled") == [2, 3, 4]
    (stopped,) = (event for event in told if event["type"] == "ec_agent.stopped")
    assert (stopped["reason"], stopped["started"], stopped["n"]) == ("2 ended", 5, 5)


def test_nothing_is_left_running():
    async def main():
        race = Race()
        await best_of_n(race.graph, n=6, stop=race.plan(), cancel=True).arun(GO)
        await asyncio.sleep(0)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(main()) == []


def test_a_plan_that_cannot_begin_costs_nothing(run):
    class Later(Upto):
        def enough(self, candidates, running, n):
            raise ZeroDivisionError("division")

    race = Race()
    with pytest.raises(ConfigError, match="stopping plan Later"):
        raced(run, 4, race, plan=Later(1, 1))
    assert not race.begun


@pytest.mark.parametrize("cancel", [1.5, "yes", None])
def test_cancel_is_true_or_false(cancel):
    with pytest.raises(ConfigError, match=r"^cancel"):
        best_of_n(Race().graph, stop=Upto(1, 1), cancel=cancel)


def test_cancel_needs_a_plan():
    with pytest.raises(ConfigError, match=r"cancel=True needs stop=.*stop=Agreement\(\)"):
        best_of_n(Race().graph, cancel=True)


def test_more_means_nothing_where_all_have_started(run):
    class Greedy(Ended):
        def enough(self, candidates, running, n):
            said = super().enough(candidates, running, n)
            return More(10_000) if isinstance(said, More) else said

    race = Race()
    assert raced(run, 6, race, plan=Greedy(race))[2].selection.cancelled == 4
