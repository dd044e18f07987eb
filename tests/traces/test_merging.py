"""Stores merged into one: SQLite and PostgreSQL in both places, again and again, and what differs."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from stored_rollouts import FULL, SETTINGS, TASKS, rollout
from test_store_contract import failed, selected

from ec_agent import TraceError, TraceStore, Trajectory
from ec_agent.numbers.call_fields import pack_calls
from ec_agent.numbers.trajectory import Call
from ec_agent.traces.merging import merge
from ec_agent.traces.stored import AGENT_CHANGES, Asked, Key

KINDS = ["sqlite", "postgres"]


@pytest.fixture
def new(request, tmp_path):
    """Opens new, empty stores of a kind."""
    opened = []

    def new(kind="sqlite"):
        if kind == "sqlite":
            place = tmp_path / f"{len(opened)}.db"
        else:
            place = f"{request.getfixturevalue('postgres')}&schema=m_{uuid4().hex}"
        opened.append(TraceStore(place, create=True))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


def shard(store, *rollouts, settings=SETTINGS, tasks=TASKS, asked=None):
    store.begin(settings, tasks, asked)
    for each in rollouts:
        assert store.add(each)
    return store


def contents(store):
    """All of a store that should be the same after merging, by key."""
    run = {
        each.key: (each.verdict, each.error, each.seed, each.started, each.final_action, pack_calls(each.trajectory))
        for task in store.tasks()
        for kind in ("sample", "greedy")
        for each in store.rollouts(task, kind)
    }
    rollouts = store.rollouts
    kept = [
        (one.recorded, one.name, one.receipt, [pack_calls(each.trajectory) for each in rollouts(selection=one.id)])
        for one in store.selections()
    ]
    said = [repr(each).replace("\\\\x00", "\\x00") for each in (run, sorted(kept, key=str))]  # as PostgreSQL has it
    return store.settings(), list(store.tasks().items()), store.asked(), *said


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_shards_become_one_run_and_merging_again_adds_nothing(new, source, target):
    odd = Trajectory([FULL.calls[0], Call([np.nan, 1e30], model="m\0m")])
    whole = shard(new(target), rollout("a", 0), rollout("a", 1, odd), rollout("b", 0), failed(1, task="b"))
    first = shard(new(source), rollout("a", 0), rollout("a", 1, odd), asked={"a": Asked("What is a?", "x")})
    second = shard(new("sqlite"), rollout("b", 0), failed(1, task="b"), asked={"b": Asked("What is b?")})
    second.record(selected(), name="beside")
    into = new(target)
    done = merge([first, second], into)
    assert (done.rollouts, done.selections, done.there) == (4, 1, 0)
    assert contents(into)[3] == contents(whole)[3]
    assert into.asked() == {"b": Asked("What is b?"), "a": Asked("What is a?", "x")}
    before = contents(into)
    for sources in ([first, second], [second], [second, first], [into_copy(into)]):
        again = merge(sources, into)
        assert (again.rollouts, again.selections) == (0, 0)
        assert again.there > 0
        assert contents(into) == before


def into_copy(store):
    return store.reopened()


def test_a_shard_that_grew_is_merged_again(new):
    first, into = shard(new(), rollout("a", 0)), new()
    merge([first], into)
    first.add(rollout("a", 1))
    assert merge([first], into).rollouts == 1
    assert into.keys() == {Key("a", "sample", 0), Key("a", "sample", 1)}


@pytest.mark.parametrize(
    "other",
    [
        {"verdict": 1.0},
        {"started": 11.0},
        {"final_action": "another"},
        {"seed": 6},
        {"trajectory": Trajectory([*FULL.calls[:2], Call([0.26])])},
        {"trajectory": Trajectory(FULL.calls[:2])},
        {"usage": {"prompt_tokens": 8, "cached_tokens": 3, "generated_tokens": 5}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_rollout_under_the_same_key_is_an_error_that_names_it(new, other):
    first = shard(new(), rollout("a", 0), rollout("b", 0))
    second = shard(
        new(), rollout("a", 0, **other) if "trajectory" not in other else rollout("a", 0, other["trajectory"])
    )
    into = new()
    with pytest.raises(TraceError, match=r"(?s)nothing was .*task 'a', rollout 0 is another one in .*1\.db than in"):
        merge([first, second], into)
    assert (into.settings(), into.keys()) == ({}, set())
    done = merge([first, second], into, keep_first=True)
    assert (done.rollouts, done.there) == (2, 1)
    assert [each.verdict for each in into.rollouts("a")] == [0.5]
    with pytest.raises(TraceError, match="is another one"):  # the target's own counts, too
        merge([second], into)


def test_many_that_differ_are_counted(new):
    first = shard(new(), *(rollout("a", i) for i in range(8)))
    second = shard(new(), *(rollout("a", i, started=11.0) for i in range(8)))
    with pytest.raises(TraceError, match=r"(?s)rollout 0 is.*rollout 4 is.*and 3 more"):
        merge([first, second], new())


def test_selections_are_known_by_name_and_moment(new):
    first, second, into = new(), new("postgres"), new()
    for store in (first, second):
        store.record(selected(winner=1), name="same name")
        store.record(selected())
    assert merge([first, second], into).selections == 4
    assert merge([second, first], into).selections == 0
    kept = next(into.selections())
    assert [each.final_action for each in into.rollouts(selection=kept.id)] == ["answer 0", "answer 1"]
    assert kept.recorded == next(first.selections()).recorded
    other = new()
    other.take(kept, [])  # as of a store whose losers were pruned
    assert merge([other], into).there == 1
    changed = new()
    changed.take(type(kept)(0, kept.name, kept.recorded, selected(winner=0).selection), [])
    with pytest.raises(TraceError, match=r"the selection 'same name', recorded at .* is another one"):
        merge([changed], into)


@pytest.mark.parametrize(
    ("settings", "tasks", "words"),
    [
        ({**SETTINGS, "n": 3}, TASKS, "n was 2, and is 3 now"),
        ({**SETTINGS, "agent_about": {"file a.py": "1"}}, TASKS, "agent_about was None"),
        (SETTINGS, {**TASKS, "c": "mark c"}, "1 tasks are new: 'c'"),
        (SETTINGS, {**TASKS, "a": "other"}, "1 tasks ask something else: 'a'"),
        (SETTINGS, dict(reversed(TASKS.items())), "in another order"),
    ],
)
def test_other_runs_are_refused(new, settings, tasks, words):
    first, second, into = shard(new(), rollout()), shard(new(), settings=settings, tasks=tasks), new()
    for sources, target in (([first, second], into), ([second], first)):
        with pytest.raises(TraceError, match=words):
            merge(sources, target)
    assert into.settings() == {}


def test_changes_of_the_agent_are_all_kept(new):
    first, second, into = shard(new(), rollout("a", 0)), shard(new(), rollout("a", 1)), new()
    first.amend({AGENT_CHANGES: ["x has changed"]})
    merge([second], into)
    assert merge([first, second], into).rollouts == 1
    second.amend({AGENT_CHANGES: ["y is new"]})
    for _ in range(2):
        merge([first, second], into)
        assert into.settings() == {**SETTINGS, AGENT_CHANGES: ["x has changed", "y is new"]}


def test_costs_of_rollouts_that_were_run_again_are_told(new):
    first = shard(new(), failed(0), rollout("b", 0))
    first.forget_failed()
    first.add(rollout("a", 0))
    done = merge([first], into := new())
    assert (done.retried["model_calls"], done.retried["generated_tokens"]) == (3, 5)
    assert into.costs()["model_calls"] == 6
