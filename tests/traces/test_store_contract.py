"""What every store of traces keeps its word on, whatever keeps it: ``TraceStoreProtocol``, seen from outside.

Another store is a line in ``STORES``: it says what a new store is called. A test asks for what it needs.
"""

from __future__ import annotations

import dataclasses
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pytest
from stored_rollouts import FULL, SETTINGS, TASKS, rollout

from ec_agent import HEPConfig, Selection, TraceError, Trajectory
from ec_agent.numbers.trajectory import Call
from ec_agent.rollouts.best_of_n import BestOfNResult
from ec_agent.rollouts.observer import Chosen, Observer, OpenedQuestion
from ec_agent.rollouts.observing import audience_of
from ec_agent.rollouts.selection import CandidateReceipt
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.opening import is_there, open_store
from ec_agent.traces.pruning import prunable, prune
from ec_agent.traces.sql.store import TraceStore
from ec_agent.traces.stored import COSTS, Asked, Key, StoredRollout


@dataclass(frozen=True)
class Store:
    """A store to be tested."""

    kind: type
    new_name: Callable[[pytest.FixtureRequest], str]


STORES = {
    "sqlite": Store(TraceStore, lambda request: str(request.getfixturevalue("tmp_path") / "deep" / "traces.db")),
    "postgres": Store(TraceStore, lambda request: f"{request.getfixturevalue('postgres')}&schema=t_{uuid4().hex}"),
}


@pytest.fixture(params=STORES)
def opened(request):
    """Opens the store under test, as often as a test likes."""
    name = STORES[request.param].new_name(request)
    return lambda **more: open_store(name, **{"create": True, **more})


@pytest.fixture
def store(opened):
    with opened() as store:
        yield store


@pytest.fixture
def run(store):
    store.begin(SETTINGS, TASKS)
    return store


def failed(number, **more):
    return rollout(number=number, error="ValueError: x", verdict=0.0, final_action=None, **more)


def selected(winner=0, tokens=(3, 4)):
    lines = tuple(CandidateReceipt(i, 0.5, 0.5, None, n, n, 1, 1, 0, 1.0, 0.1) for i, n in enumerate(tokens))
    usage = {"prompt_tokens": 1, "cached_tokens": 0, "generated_tokens": sum(tokens)}
    selection = Selection(winner, tuple(range(len(tokens))), lines, 0.0, "lowest_centroid", HEPConfig(), 2, usage)
    calls = tuple(Trajectory([Call([0.5] * n)]) for n in tokens)
    return BestOfNResult(None, selection, calls, tuple(f"answer {i}" for i in range(len(tokens))))


def numbers_of(store, selection):
    return [each.key.number for each in store.rollouts(selection=selection)]


# The protocol itself


@pytest.mark.parametrize("kind", [each.kind for each in STORES.values()], ids=STORES)
def test_a_store_has_every_method_with_its_arguments(kind):
    members = {name for name in vars(TraceStoreProtocol) if not name.startswith("_")}
    assert len(members) > 20
    for name in members | {"__enter__", "__exit__"}:
        asked, has = (getattr(owner, name) for owner in (TraceStoreProtocol, kind))
        if callable(asked) and name != "__exit__":
            theirs, ours = (
                [(each.name, each.kind, each.default) for each in inspect.signature(what).parameters.values()]
                for what in (asked, has)
            )
            assert ours == theirs, name


# Open and close


def test_a_store_is_there_once_it_was_made(opened):
    with pytest.raises(TraceError, match="there is no"):
        opened(create=False)
    opened().close()
    with opened(create=False) as store:
        assert (store.settings(), store.tasks(), store.keys(), list(store.selections())) == ({}, {}, set(), [])
        assert is_there(store.name)


def test_what_was_added_is_there_after_closing(opened):
    with opened() as store:
        store.begin(SETTINGS, TASKS)
        store.add(rollout())
        number = store.record(selected())
    with opened(create=False) as store, store.reopened() as again:
        for each in (store, again):
            assert each.keys() == {Key("a", "sample", 0)}
            assert numbers_of(each, number) == [0, 1]
            each.see_in_place()


def test_using_a_closed_store_raises_a_trace_error(store):
    store.begin(SETTINGS, TASKS)
    store.close()
    store.close()
    for attempt in (store.keys, store.totals, lambda: list(store.rollouts()), lambda: store.add(rollout())):
        with pytest.raises(TraceError):
            attempt()


def test_a_deleted_store_is_gone(opened):
    with opened() as store:
        store.begin(SETTINGS, TASKS)
        name = store.name
        store.delete()
    assert not is_there(name)
    with opened() as store:
        assert store.settings() == {}


# The run


def test_a_run_continues_only_with_equal_settings_and_tasks(run, opened):
    run.begin(SETTINGS, TASKS)
    with opened() as other:
        other.begin(SETTINGS, TASKS)
        assert other.settings() == SETTINGS
        assert list(other.tasks().items()) == list(TASKS.items())
    with pytest.raises(TraceError, match=r"(?s)n was 2, and is 3 now.*1 tasks are gone: 'b'.*--fresh"):
        run.begin({**SETTINGS, "n": 3}, {"a": "mark a"})
    with pytest.raises(TraceError, match="1 tasks ask something else: 'a'"):
        run.begin(SETTINGS, {**TASKS, "a": "other"})
    with pytest.raises(TraceError, match=r"7 tasks are new: 't0', 't1', 't2', 't3', 't4' \.\.\."):
        run.begin(SETTINGS, {**TASKS, **{f"t{i}": "" for i in range(7)}})
    assert run.settings() == SETTINGS


def test_missing_questions_are_added_and_others_stay(run):
    first = {"a": Asked("What is a?", "half \ud83d a letter")}
    run.begin(SETTINGS, TASKS, first)
    assert run.asked() == {"b": Asked(), "a": Asked("What is a?", "half \\ud83d a letter")}
    run.begin(SETTINGS, TASKS, {"a": Asked("another"), "b": Asked("What is b?")})
    assert run.asked() == {"b": Asked("What is b?"), "a": Asked("What is a?", "half \\ud83d a letter")}


def test_amended_settings_stand_beside_the_others(run):
    run.amend({"seed": 1, "more": [None, {"x": "é"}]})
    assert run.settings() == {**SETTINGS, "seed": 1, "more": [None, {"x": "é"}]}


def test_a_rollout_comes_back_whole(run):
    assert run.add(rollout())
    (back,) = run.rollouts("a")
    for field in dataclasses.fields(StoredRollout):
        if field.name not in ("trajectory", "id"):
            assert getattr(back, field.name) == getattr(rollout(), field.name), field.name
    assert run.rollout(back.id).key == back.key
    assert len(back.trajectory.calls) == 3
    assert back.trajectory.coverage is None  # the second call reported nothing
    for kept, given in zip(back.trajectory.calls, FULL.calls, strict=True):
        for field in dataclasses.fields(Call):
            if field.name not in ("entropies", "signals"):
                assert getattr(kept, field.name) == getattr(given, field.name), field.name
        np.testing.assert_array_equal(kept.entropies, given.entropies.astype(np.float32).astype(np.float64))
        assert kept.signals.keys() == given.signals.keys()
        for name, values in given.signals.items():
            np.testing.assert_array_equal(kept.signal(name), values.astype(np.float32).astype(np.float64))


def test_the_first_of_two_rollouts_with_one_key_is_kept(run, opened):
    assert run.add(rollout(verdict=1.0))
    with opened() as other:
        assert not other.add(rollout(verdict=0.0))
    assert [back.verdict for back in run.rollouts("a")] == [1.0]
    assert (run.has(Key("a", "sample", 0)), run.has(Key("a", "greedy", 0))) == (True, False)
    assert run.keys() == {Key("a", "sample", 0)}


def test_keys_and_counts_of_tasks(run):
    assert (run.counts(3, greedy=True), run.keys("a")) == ({}, set())
    for task, kind, number in (("a", "sample", 0), ("a", "sample", 2), ("a", "greedy", 0), ("b", "sample", 1)):
        run.add(rollout(task, kind=kind, number=number))
    run.record(selected())  # none of the run's
    assert run.counts(3, greedy=True) == {"a": 3, "b": 1}
    assert run.counts(2, greedy=False) == {"a": 1, "b": 1}
    assert run.counts(1, greedy=False) == {"a": 1}
    assert run.keys("b") == {Key("b", "sample", 1)}
    assert run.keys("a") == run.keys() - run.keys("b")
    assert run.keys("of nobody") == set()


def test_a_rollout_is_there_whole_or_not_at_all(run):
    odd = Trajectory([Call([0.1]), Call([0.2])])
    object.__setattr__(odd.calls[1], "capability", object())  # no column takes it
    with pytest.raises(TraceError):
        run.add(rollout(trajectory=odd))
    assert (run.keys(), list(run.rollouts()), run.costs()["model_calls"]) == (set(), [], 0)
    assert run.add(rollout())


def test_a_rollout_of_an_unknown_task_is_refused(run):
    with pytest.raises(TraceError, match="check that its run was begun with this task"):
        run.add(rollout("c"))
    assert run.keys() == set()


def test_totals_failures_and_costs(run):
    run.add(rollout(number=1))
    run.add(failed(0))
    run.add(rollout(kind="greedy", verdict=1.0))
    run.record(selected())  # none of the run's
    first, second = run.totals()
    assert (first.task, first.rollouts, first.greedy, first.seconds, first.best) == ("b", 0, None, 0.0, 0.0)
    assert (second.task, second.rollouts, second.failed, second.solved, second.best) == ("a", 2, 1, 0.5, 0.5)
    assert (second.greedy, second.model_calls, second.unsampled_calls) == (1.0, 9, 3)
    assert (second.prompt_tokens, second.generated_tokens, second.seconds) == (21, 15, 3.75)
    assert run.failures() == [(Key("a", "sample", 0), "ValueError: x")]
    assert set(run.costs()) == set(COSTS)
    assert (run.costs()["generated_tokens"], run.costs()["model_calls"]) == (15, 9)


def test_failed_rollouts_go_and_their_costs_stay_counted(run):
    run.add(failed(0))
    run.add(rollout(number=1))
    before = run.costs()
    assert (run.forget_failed(), run.forget_failed()) == (1, 0)
    assert (run.keys(), run.failures(), run.settings()) == ({Key("a", "sample", 1)}, [], SETTINGS)
    assert run.costs() == before
    assert run.add(rollout(number=0))
    assert run.costs()["model_calls"] == before["model_calls"] + 3


# Recorded selections


def test_a_selection_comes_back_with_its_candidates(store):
    result = selected(winner=1)
    number = store.record(result, name="question é")
    (kept,) = store.selections()
    assert (kept.id, kept.name, kept.receipt) == (number, "question é", result.selection)
    assert store.selection(number).receipt == result.selection
    rollouts = list(store.rollouts(selection=number))
    assert [(each.key, each.selection) for each in rollouts] == [
        (Key("question é", "sample", i), number) for i in (0, 1)
    ]
    assert [each.final_action for each in rollouts] == ["answer 0", "answer 1"]
    assert all(np.isnan(each.verdict) for each in rollouts)
    assert [(index, tokens) for _, index, tokens in store.candidates(number)] == [(0, 3), (1, 4)]
    assert [rollout for rollout, _, _ in store.candidates(number)] == [each.id for each in rollouts]


def test_ids_are_never_given_twice(store):
    first = store.record(selected())
    store.forget(rollout for rollout, _, _ in store.candidates(first))
    second = store.record(selected(), name="later")
    assert second != first
    with pytest.raises(TraceError, match=f"has no selection {first}"):
        store.selection(first)
    with pytest.raises(TraceError, match="has no rollout 77"):
        store.rollout(77)


def test_a_selection_that_cannot_be_kept_leaves_nothing(store):
    result = selected()
    object.__setattr__(result.trajectories[1].calls[0], "capability", object())
    with pytest.raises(TraceError):
        store.record(result)
    assert (list(store.selections()), list(store.rollouts())) == ([], [])


def test_recording_writes_from_other_threads(store):
    result, done = selected(), []
    with store.recording(name="inside"):
        audience = audience_of(OpenedQuestion("agent", "selector", {}))
    chosen = Chosen(result.selection, result.trajectories, result.final_actions, [], {})
    thread = threading.Thread(target=lambda: done.append(audience.tell(Observer.question_over, chosen)))
    thread.start()
    thread.join(60)
    assert done == [None]
    assert [kept.name for kept in store.selections()] == ["inside"]


# Everything in its order


def test_rollouts_of_the_run_come_first_in_groups(run):
    later = run.record(selected(), name="a")
    for each in (rollout("b", 1), rollout("a", 1), rollout("b", 0), rollout("a", kind="greedy"), rollout("a", 0)):
        run.add(each)
    found = [(each.selection, each.key.task, each.key.kind, each.key.number) for each in run.rollouts()]
    assert found == [
        *[(None, "a", "sample", 0), (None, "a", "sample", 1), (None, "a", "greedy", 0)],
        *[(None, "b", "sample", 0), (None, "b", "sample", 1)],
        *[(later, "a", "sample", 0), (later, "a", "sample", 1)],
    ]
    assert [each.key.number for each in run.rollouts("b")] == [0, 1]
    assert [each.key.kind for each in run.rollouts("a", "greedy")] == ["greedy"]


def test_rollouts_deleted_while_reading_are_skipped(store):
    first, second = store.record(selected()), store.record(selected())
    reading, kept = store.rollouts(), store.selections()
    assert (next(reading).selection, next(kept).id) == (first, first)
    store.forget(rollout for rollout, _, _ in store.candidates(second))
    assert ([each.key.number for each in reading], list(kept)) == ([1], [])


# Taking out


def test_only_recorded_selections_are_deleted(run):
    run.add(rollout())
    number = run.record(selected())
    ids = [each.id for each in run.rollouts()]
    assert len(set(ids)) == 3
    assert run.forget(ids) == 2
    assert (run.keys(), list(run.selections())) == ({Key("a", "sample", 0)}, [])
    assert run.forget(ids) == 0
    assert run.candidates(number) == []
    assert len(next(run.rollouts()).trajectory) == 5


def test_losers_are_pruned_and_winners_stay(store):
    kept = [store.record(selected(winner)) for winner in (0, 1)]
    what = prunable(store, losers=True)
    assert (what.thinned, what.selections, what.tokens) == (2, 0, 4 + 3)
    assert prune(store, what) == 2
    assert [numbers_of(store, number) for number in kept] == [[0], [1]]
    assert [each.receipt.winner for each in store.selections()] == [0, 1]


def test_the_oldest_are_pruned_and_give_their_room_back(store):
    numbers = [store.record(selected(tokens=(20_000, 20_000))) for _ in range(3)]
    before = store.size()
    assert prune(store, prunable(store, keep=1)) == 4
    assert [each.id for each in store.selections()] == numbers[-1:]
    assert 0 < store.size() < before or before == 0
