from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations, product

import pytest
from ended import FAILED, all_ballots, came_to, in_turn, ran, vote

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import MajorityVote, TieBrokenVote
from ec_agent.stopping import More, OutOfReach, Stop
from ec_agent.stopping.asking import ask
from ec_agent.stopping.spelling import plan_in, spelled

pytestmark = pytest.mark.filterwarnings("error")

NEW = "an answer that nobody gave"


def test_what_it_is_called():
    assert OutOfReach().name == "out_of_reach"
    assert OutOfReach([4, 1]).name == "out_of_reach(waves=(4, 1))"


def test_what_it_says():
    assert OutOfReach().enough(came_to("b", "a", "a", "a", "a", "a"), 0, 8) == Stop(
        "5 rollouts agree and 1 on the next answer: the 2 still to come cannot change the majority", (1, 2, 3, 4, 5)
    )


@pytest.mark.parametrize(
    ("answers", "count"),
    [("", 4), ("a", 3), ("aaab", 1), ("aaba", 1), ("abab", 2), ("abcd", 2), ("abbb", 2), ("aabbab", 1), ("abcdefg", 1)],
)
def test_as_few_as_could_settle_it(answers, count):
    assert OutOfReach().enough(came_to(*answers), 0, 8) == More(count)


def test_waves_of_ones_own():
    assert OutOfReach([4, 1]).enough(came_to(*"abab"), 0, 8) == More(1)
    assert OutOfReach([6]).enough(came_to(*"aaaaa"), 0, 8) == More(1)


def test_a_tie_goes_to_the_first_seen():
    assert isinstance(OutOfReach().enough(came_to(*"aaaa"), 0, 8), Stop)  # four others would come later
    assert isinstance(OutOfReach().enough(came_to(*"aaab"), 0, 6), Stop)  # b can come level, and was seen later
    assert OutOfReach().enough(came_to(*"baaa"), 0, 6) == More(1)  # b can come level, and was seen first


def test_one_that_failed_does_not_come_any_more():
    assert isinstance(ask(OutOfReach(), came_to("b", "a", "a", FAILED, "a"), 0, 1), Stop)
    assert ask(OutOfReach(), came_to("b", "a", "a", "a"), 0, 2) == More(1)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"waves": []}, "waves"),
        ({"normalize": "lower"}, "normalize"),
        ({"ties": "first"}, "ties is 'first'; give one of"),
    ],
)
def test_what_it_refuses(given, word):
    with pytest.raises(ConfigError, match=word):
        OutOfReach(**given)


def certain(ended, to_come):
    """By trying all that may come: who may win, where that cannot change the vote; slow, and without counting."""
    answers = [answer for _, answer in ended]
    winner = vote(answers)
    if winner is None:
        return None
    coming = product([*{answer for answer in answers if answer is not None}, NEW, None], repeat=to_come)
    if any(vote([*answers, *more]) != winner for more in coming):
        return None
    return {place for place, answer in ended if answer == answers[winner]}


@pytest.mark.parametrize("waves", [(1,), (4, 1), (2, 2), (3,)])
def test_it_stops_when_it_is_certain_and_not_a_rollout_later(waves):
    known = {}

    def decide(ended, to_come):
        key = (*ended, to_come)
        if key not in known:
            known[key] = certain(ended, to_come)
        return known[key]

    for answers in all_ballots(5, ["a", "b", None, FAILED]):
        assert ran(OutOfReach(waves), answers) == in_turn(decide, answers, waves), answers


@pytest.mark.parametrize("n", range(1, 7))
def test_it_never_changes_the_winner(n):
    """Neither its answer nor its index, however rollouts end; with its own waves it starts as many as one at a time."""
    saved = 0
    for answers in all_ballots(n, ["a", "b", "c", None, FAILED]):
        started, among = ran(OutOfReach(), answers)
        if n < 6:
            assert started == ran(OutOfReach([1]), answers)[0], answers
        if among is not None:
            saved += n - started
            assert min(among) == vote(answers), answers
    assert saved or n < 2


@pytest.mark.parametrize("n", range(1, 6))
def test_nor_does_the_selector(n):
    for answers in all_ballots(n, ["a", "b", None, FAILED]):
        _, among = ran(OutOfReach(), answers)
        order = MajorityVote().select(came_to(*answers)).order
        assert among is None or order[0] == min(among)


@pytest.mark.parametrize("n", range(1, 6))
def test_where_others_run_the_answer_is_certain(n):
    """Whichever rollouts end first, and whatever those would have said that are cancelled."""
    for answers in all_ballots(n, ["a", "b", "c", None, FAILED]):
        whole, candidates = vote(answers), came_to(*answers)
        for count in range(1, n):
            for first in combinations(range(n), count):
                over = [candidates[place] for place in first]
                if all(candidate.error for candidate in over):
                    continue
                said = ask(OutOfReach(), over, n - count, 0)
                if isinstance(said, Stop):
                    assert {answers[index] for index in said.among} == {answers[whole]}


def certain_of_the_answer(ended, to_come):
    """As ``certain``, where nobody knows to whom a tie goes: the answer must have more votes than any other."""
    answers = [answer for _, answer in ended]
    coming = product([*{answer for answer in answers if answer is not None}, NEW, None], repeat=to_come)
    winners = set()
    for more in coming:
        cast = [answer for answer in (*answers, *more) if answer is not None]
        most = max((cast.count(answer) for answer in cast), default=0)
        winners |= {answer for answer in cast if cast.count(answer) == most} or {None}
    (winner, *others) = winners
    return None if others or winner is None else {place for place, answer in ended if answer == winner}


@pytest.mark.parametrize("waves", [(1,), (4, 1), (2, 2), (3,)])
def test_whatever_breaks_ties_it_stops_when_it_is_certain_and_not_a_rollout_later(waves):
    known = {}

    def decide(ended, to_come):
        key = (*ended, to_come)
        if key not in known:
            known[key] = certain_of_the_answer(ended, to_come)
        return known[key]

    for answers in all_ballots(5, ["a", "b", None, FAILED]):
        assert ran(OutOfReach(waves, ties="any"), answers) == in_turn(decide, answers, waves), answers


@pytest.mark.parametrize("n", [*range(1, 6), pytest.param(6, marks=pytest.mark.whole_form("15,625 ballots"))])
def test_it_never_changes_the_winner_of_a_vote_that_breaks_ties_by_entropy(n):
    """Neither its answer nor its index; while stopped as for the first seen it sometimes would."""
    rng, changed = random.Random(n), 0
    for answers in all_ballots(n, ["a", "b", "c", None, FAILED]):
        lines = [Trajectory.from_entropies([rng.choice([0.0, 0.5, 1.0])]) for _ in answers]
        group = [replace(c, trajectory=line) for c, line in zip(came_to(*answers), lines, strict=True)]
        order = TieBrokenVote().select(group).order
        _, among = ran(OutOfReach(ties="any"), answers)
        assert among is None or order[0] == min(among), answers
        _, among = ran(OutOfReach(), answers)
        changed += among is not None and order[0] != min(among)
    assert changed or n < 3


def test_it_is_read_and_written_by_its_name():
    assert plan_in("out_of_reach:4,1:ties=any") == OutOfReach([4, 1], ties="any")
    assert spelled(OutOfReach(ties="any")) == "out_of_reach:ties=any"
