"""What is left of a run: the same keys in the same order as a list would give, and none is held before it is due."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from driver_memory import Answering, answer, nothing
from eval_fakes import tasks

from ec_agent.evaluation.remaining import Remaining, count_planned, count_stored
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate
from ec_agent.evaluation.schedule import Schedule
from ec_agent.stopping import Agreement
from ec_agent.traces.sql.store import TraceStore
from ec_agent.traces.stored import Key

PEAK = 200_000  # bytes; a key takes some 150, so 19,000 more of them would take 3 million


def taken(left):
    """All that is left, samples first."""
    keys = []
    while left.samples:
        keys.append(left.next_sample())
    return keys + ([left.next_greedy()] if left.greedy else [])


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_what_is_left_is_what_is_not_stored_in_order(share, greedy):
    moments = random.Random(f"{share} {greedy}")
    for n in (1, 2, 7, 50):
        settings = RunSettings(n=n, greedy=greedy)
        there = {key for key in settings.keys("a") if moments.random() < share}
        foreign = {Key("a", "sample", n), Key("a", "sample", n + 3), Key("a", "greedy", 1)}
        expected = [key for key in settings.keys("a") if key not in there]
        left = Remaining("a", settings, there | foreign)
        assert left.samples + left.greedy == len(expected)
        assert taken(left) == expected
        assert (left.samples, left.greedy) == (0, False)


def test_what_a_plan_spares_is_gone():
    left = Remaining("a", RunSettings(n=5), {Key("a", "sample", 2)})
    assert left.next_sample() == Key("a", "sample", 0)
    assert (left.spare(), left.spare()) == (3, 0)
    assert taken(left) == [Key("a", "greedy", 0)]


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "runs.db", create=True) as store:
        store.begin({}, {task.id: "?" for task in tasks(4)})
        yield store


async def test_a_schedule_hands_out_what_is_not_stored_task_by_task(store):
    settings, asked = RunSettings(n=6), tasks(4)
    there = {*settings.keys("task 1"), *settings.keys("task 2")[::2], *settings.keys("task 3")[3:]}
    for key in there:
        store.add(answer(key, settings))
    assert count_stored(store, asked, settings) == len(there)
    assert count_stored(store, asked[:2], settings) == count_stored(store, asked[:2], RunSettings(n=9)) == 7
    assert count_stored(store, asked, RunSettings(n=2, greedy=False)) == 2 + 1
    prepared = []
    schedule = Schedule(asked, settings, store, lambda task: prepared.append(task.id) or task.id)
    given = []
    while (found := await schedule.next(lambda: False)) is not None:
        given.append(found[2])
        assert found[1] == found[0].id == found[2].task
        schedule.over(found[2])
    assert given == [key for task in asked for key in settings.keys(task.id) if key not in there]
    assert prepared == ["task 0", "task 2", "task 3"]
    assert count_planned(asked, settings) == len(given) + len(there)


def peak(path, n, **more):
    """The most that a run of ten tasks holds, which a budget ends after some rollouts; twice, the second goes on."""
    most = []
    for budget in (20, 40):
        tracemalloc.start()
        settings = RunSettings(n=n, call_budget=budget, **more)
        report = evaluate(tasks(10), nothing, path, settings, engine=Answering())
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert budget <= 2 * report.stored < budget + 40
        assert report.total == 10 * (n + 1)
    return most


@pytest.mark.parametrize("more", [{}, {"stop": Agreement([4])}, {"shard": "1/1"}], ids=["all", "in waves", "a shard"])
def test_a_run_holds_as_much_for_a_thousand_rollouts_as_for_twenty_thousand(tmp_path, more):
    peak(tmp_path / "first.db", 5, **more)  # imports and caches
    few, many = (peak(tmp_path / f"{n}.db", n, **more) for n in (100, 2000))
    for less, all_ in zip(few, many, strict=True):
        assert all_ < less + PEAK
