"""Shards of an evaluation: which tasks each has, what it counts as its own, and that they add up to the whole."""

from __future__ import annotations

import random

import pytest
from eval_fakes import Calls, agent_of, contents, tasks

from ec_agent import ConfigError, TraceStore
from ec_agent.evaluation import RunSettings, evaluate, load_results
from ec_agent.evaluation.shards import shard_in, tasks_of
from ec_agent.traces.merging import merge

HOW = {"n": 3, "seed": 1}


@pytest.mark.parametrize(("number", "of"), [(50, 1), (50, 3), (50, 16), (3, 16)])
def test_every_task_is_in_one_shard_and_shards_are_of_equal_size(number, of):
    given = tasks(number)
    dealt = [tasks_of(f"{i}/{of}", given) for i in range(1, of + 1)]
    assert sorted(task.id for part in dealt for task in part) == sorted(task.id for task in given)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    shuffled = given.copy()
    random.Random(0).shuffle(shuffled)
    for i, part in enumerate(dealt, 1):
        assert {task.id for task in tasks_of(f"{i}/{of}", shuffled)} == {task.id for task in part}
        assert [task.id for task in part] == [task.id for task in given if task in part]
    if of == 3:
        assert dealt[0] != given[: len(dealt[0])]
        assert dealt[0] != given[::3]


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "3", "3/", "a/b", "-1/3", "1/0", "1.0/3", " 1/3", "", "1/3/4", 3, None, True], ids=repr
)
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigError, match=r"shard is .*3/16 is the third of sixteen"):
        shard_in(text)
    if text is not None:
        with pytest.raises(ConfigError, match="shard is"):
            RunSettings(shard=text)


def test_shards_run_apart_and_merged_are_the_run_of_one_machine(tmp_path):
    given = tasks(5)
    evaluate(given, agent_of(Calls()), tmp_path / "whole.db", RunSettings(**HOW), agent_name="x")
    stores = []
    for i in (1, 2, 3):
        path, seen = tmp_path / f"{i}.db", []
        settings = RunSettings(**HOW, shard=f"{i}/3")
        report = evaluate(given, agent_of(Calls()), path, settings, agent_name="x", on_progress=seen.append)
        own = {task.id for task in tasks_of(f"{i}/3", given)}
        assert report.finished
        assert report.stored == report.total == len(own) * 4
        assert {task.task for task in report.tasks} == own
        assert (seen[0].stored, seen[-1].stored, seen[-1].total) == (0, report.total, report.total)
        stores.append(TraceStore(path))
    with TraceStore(tmp_path / "merged.db", create=True) as into:
        assert merge(stores, into).rollouts == 5 * 4
    for store in stores:
        store.close()
    assert contents(tmp_path / "merged.db") == contents(tmp_path / "whole.db")
    assert [result.task for result in load_results(tmp_path / "merged.db")] == [task.id for task in given]
    with TraceStore(tmp_path / "merged.db") as merged, TraceStore(tmp_path / "whole.db") as whole:
        assert merged.settings() == whole.settings()


@pytest.mark.parametrize("kind", ["file", "postgres"])
def test_shards_on_one_store_count_their_own(tmp_path, request, kind):
    given, path = tasks(5), tmp_path / "one.db"
    if kind == "postgres":
        path = f"{request.getfixturevalue('postgres')}&schema=shards"
    for i in (1, 2):
        report = evaluate(given, agent_of(Calls()), path, RunSettings(**HOW, shard=f"{i}/2"), agent_name="x")
        assert (report.finished, report.total) == (True, 4 * len(tasks_of(f"{i}/2", given)))
    calls = Calls()
    report = evaluate(given, agent_of(calls), path, RunSettings(**HOW), agent_name="x")
    assert (report.finished, report.stored, calls.seeds) == (True, 20, [])  # nothing is left for the whole run
    assert len(load_results(report.path)) == 5


def test_a_shard_retries_its_own_failures_only(tmp_path):
    given, path = tasks(12), tmp_path / "one.db"
    evaluate(given, agent_of(Calls()), path, RunSettings(**HOW), agent_name="x")
    with TraceStore(path) as store:
        failed = {key for key, _ in store.failures()}
        cost = store.costs()["model_calls"]
    mine = {task.id for task in tasks_of("1/2", given)}
    assert {key.task in mine for key in failed} == {True, False}
    calls = Calls()
    settings = RunSettings(**HOW, shard="1/2")
    evaluate(given, agent_of(calls), path, settings, agent_name="x", retry_failed=True)
    again = [key for key in failed if key.task in mine]
    assert len(set(calls.seeds)) == len(again)
    with TraceStore(path) as store:
        assert len(store.keys()) == 48
        assert store.costs()["model_calls"] == cost + len(again)  # a call each, before the one that fails
