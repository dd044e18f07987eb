from __future__ import annotations

import pytest
from ended import FAILED, all_ballots, came_to, in_turn, ran, vote

from ec_agent.errors import ConfigError
from ec_agent.selectors import MajorityVote
from ec_agent.stopping import Agreement, More, Stop
from ec_agent.stopping.asking import ask

pytestmark = pytest.mark.filterwarnings("error")


def test_what_it_is_called():
    assert Agreement().name == "agreement"
    assert Agreement([2, 2, 4], 0.75).name == "agreement(waves=(2, 2, 4), threshold=0.75)"


@pytest.mark.parametrize(("n", "first", "rest"), [(1, 2, 1), (2, 2, 1), (3, 2, 1), (4, 2, 2), (7, 4, 3), (8, 4, 4)])
def test_the_larger_half_then_the_rest(n, first, rest):
    assert Agreement().enough((), 0, n) == More(first)
    assert Agreement().enough(came_to(*"abcdefgh"[:first]), 0, n) == More(rest)


def test_all_agree():
    assert Agreement().enough(came_to("a", " a", "a ", "a"), 0, 8) == Stop("4 of 4 rollouts agree", (0, 1, 2, 3))


def test_one_differs_or_has_no_vote():
    assert Agreement().enough(came_to("a", "a", "b", "a"), 0, 8) == More(4)
    assert Agreement().enough(came_to("a", "a", None, "a"), 0, 8) == More(4)
    assert Agreement().enough(came_to(None, None, None, None), 0, 8) == More(4)


def test_a_threshold():
    plan = Agreement([2, 2, 4], threshold=0.75)
    assert plan.enough(came_to("a", "b"), 0, 8) == More(2)
    assert plan.enough(came_to("b", "a", "a", "a"), 0, 8) == Stop("3 of 4 rollouts agree", (1, 2, 3))


def test_of_equally_frequent_answers_the_first_seen_leads():
    assert Agreement([4], 0.5).enough(came_to("b", "a", "a", "b"), 0, 8).among == (0, 3)


def test_one_rollout_agrees_with_nobody():
    assert Agreement([1]).enough(came_to("a"), 0, 8) == More(1)
    assert Agreement([1]).enough(came_to("a", "a"), 0, 8) == Stop("2 of 2 rollouts agree", (0, 1))


def test_one_that_failed_is_made_up_for():
    assert ask(Agreement([4]), came_to("a", "a", FAILED, "a"), 0, 4) == More(1)
    assert ask(Agreement([4]), came_to("a", "a", FAILED, "a", "a"), 0, 3).among == (0, 1, 3, 4)


def test_while_others_run_it_speaks_once_the_first_wave_would_have_ended():
    plan = Agreement([3, 1])
    assert plan.enough(came_to("a", "a", first=2), 6, 8) == More(1)
    assert plan.enough(came_to("a", "a", "a", first=2), 5, 8).among == (2, 3, 4)


def test_normalize():
    plan = Agreement(normalize=lambda text: text.split()[0])
    assert plan.enough(came_to("14 pounds", "14 GBP"), 0, 4).among == (0, 1)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"waves": [0]}, "waves"),
        ({"waves": 4}, "waves"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1.01}, "threshold"),
        ({"normalize": None}, "normalize"),
    ],
)
def test_what_it_refuses(given, word):
    with pytest.raises(ConfigError, match=word):
        Agreement(**given)


def slowly(threshold):
    """Whether the leader has its share, told once more."""

    def decide(ended, to_come):
        answers = [answer for _, answer in ended]
        winner = vote(answers)
        if len(ended) < 2 or winner is None:
            return None
        share = sum(answer == answers[winner] for answer in answers) / len(ended)
        return {place for place, answer in ended if answer == answers[winner]} if share >= threshold else None

    return decide


@pytest.mark.parametrize(
    ("waves", "threshold"), [((2, 2), 1), ((3, 1), 0.6), ((1,), 1), ((2, 1, 3), 0.75), ((6,), 0.1)]
)
def test_it_is_what_is_said_of_it(waves, threshold):
    for answers in all_ballots(6, ["a", "b", None, FAILED]):
        assert ran(Agreement(waves, threshold), answers) == in_turn(slowly(threshold), answers, waves), answers


@pytest.mark.parametrize("n", range(1, 7))
def test_with_a_majority_vote_the_usual_waves_change_nothing(n):
    saved = 0
    for answers in all_ballots(n, ["a", "b", "c", None, FAILED]):
        started, among = ran(Agreement(), answers)
        if among is not None:
            saved += n - started
            assert min(among) == MajorityVote().select(came_to(*answers)).order[0] == vote(answers)
    assert saved or n < 3
