"""Some fifty kills over all ways to run; ``long_form.py`` has fifty for each of them."""

from __future__ import annotations

import chaos_harness as chaos
import pytest
from chaos_child import PLACES
from chaos_harness import Mode

SEED = "short form"
# What an uncertain place leaves behind: the intent is written, the outcome is not.
UNCERTAIN = {"after the intent": 0, "before the outcome": 1}


@pytest.fixture(scope="module")
def worker():
    with chaos.working() as worker:
        yield worker


@pytest.fixture(scope="module")
def postgres_worker(postgres):
    with chaos.working(postgres) as worker:
        yield worker


def check(case, *, ended="done", deliveries=None):
    assert not case.broken, str(case)
    if deliveries is not None:
        assert (case.ended, case.deliveries) == (ended, deliveries), str(case)
    return case


@pytest.mark.members(1)
@pytest.mark.parametrize("mode", chaos.modes(["sqlite"]), ids=str)
def test_killed_at_a_random_moment(worker, mode):
    check(chaos.kill_at_random(worker, mode, SEED))


@pytest.mark.whole_form("kills with checkpoints in SQLite are in the short form")
@pytest.mark.parametrize(
    "mode",
    [
        Mode("answer", "sync", "async", "postgres"),
        Mode("route", "async", "sync", "postgres"),
        Mode("execute", "sync", "sync", "postgres"),
        Mode("continue", "async", "async", "postgres"),
        Mode("world", "async", "sync", "postgres"),
    ],
    ids=str,
)
def test_killed_at_a_random_moment_on_postgres(postgres_worker, mode):
    check(chaos.kill_at_random(postgres_worker, mode, SEED))


@pytest.mark.members(3)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "mode", [Mode("route", "sync", "sync", "sqlite"), Mode("execute", "async", "async", "sqlite")], ids=str
)
def test_killed_at_an_exact_place(worker, mode, place):
    case = chaos.kill_at(worker, mode, place, "raise")
    if place in UNCERTAIN:
        check(case, ended="uncertain", deliveries=UNCERTAIN[place])
    else:
        check(case, deliveries=1)


@pytest.mark.members(1)
@pytest.mark.parametrize("place", list(UNCERTAIN))
@pytest.mark.parametrize(
    "mode", [Mode("route", "async", "async", "sqlite"), Mode("execute", "sync", "sync", "sqlite")], ids=str
)
def test_a_repeated_key_is_exactly_once(worker, mode, place):
    case = check(chaos.kill_at(worker, mode, place, "retry"), deliveries=1)
    assert case.repeats == UNCERTAIN[place]


@pytest.mark.members(1)
@pytest.mark.parametrize("place", ["in the intent", "after the outcome"])
def test_killed_at_the_second_commit(worker, place):
    check(chaos.kill_at(worker, Mode("continue", "sync", "sync", "sqlite"), place, "raise", count=2), deliveries=2)


@pytest.mark.members(1)
@pytest.mark.parametrize(
    "mode", [Mode("route", "sync", "async", "sqlite"), Mode("execute", "async", "async", "sqlite")], ids=str
)
def test_killed_while_the_checkpoints_are_on_their_way(worker, mode):
    check(chaos.kill_at(worker, mode, "after the outcome", "raise", late=0.05), deliveries=1)


@pytest.mark.members(1)
@pytest.mark.parametrize("late", [0.0, 0.05])
def test_no_parked_rollout_is_left_behind(worker, late):
    check(chaos.kill_at(worker, Mode("execute", "sync", "async", "sqlite"), "parked", "raise", late=late), deliveries=1)


@pytest.mark.members(1)
@pytest.mark.parametrize(
    "mode", [Mode("route", "async", "sync", "sqlite"), Mode("execute", "sync", "async", "sqlite")], ids=str
)
def test_an_outcome_noted_by_hand_lets_the_run_go_on(worker, mode):
    check(chaos.kill_at(worker, mode, "before the outcome", "raise", settle=True), ended="uncertain", deliveries=1)


def test_the_losers_copies_are_gone_after_a_resume(worker):
    mode = Mode("copies", "sync", "sync", "sqlite")
    case = check(chaos.kill_at(worker, mode, "before the intent", "raise"), deliveries=1)
    assert not case.left_files


@pytest.mark.parametrize("count", [1, 2], ids=["mail", "promotion"])
def test_an_uncertain_commit_keeps_the_winners_copy(worker, count):
    mode = Mode("copies", "sync", "sync", "sqlite")
    check(chaos.kill_at(worker, mode, "before the outcome", "raise", count=count), ended="uncertain", deliveries=1)


@pytest.mark.members(1)
@pytest.mark.parametrize("variant", ["route", "execute"])
def test_durability_exit_says_what_it_gives_up(worker, variant):
    case = check(chaos.kill_at_random(worker, Mode(variant, "sync", "exit", "sqlite"), SEED))
    assert case.ended == "done"
    assert case.warned == ["DurabilityWarning"]
