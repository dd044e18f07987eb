from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest
from ended import FAILED, all_ballots, came_to, in_turn, ran, vote

from ec_agent.errors import ConfigError
from ec_agent.stopping import Beta, More, Stop
from ec_agent.stopping.beta import leads

pytestmark = pytest.mark.filterwarnings("error")


@cache
def area(first, second):
    """The share above one half of the area under ``p ** first * (1 - p) ** second``: exact, power by power."""
    powers = [Fraction(1)]  # of (1 - p) ** second, lowest first
    for _ in range(second):
        powers = [a - b for a, b in zip([*powers, 0], [0, *powers], strict=True)]

    def up_to(p):
        return sum(c * Fraction(p) ** (first + k + 1) / (first + k + 1) for k, c in enumerate(powers))

    return (up_to(1) - up_to(Fraction(1, 2))) / up_to(1)


@pytest.mark.parametrize("first", range(12))
def test_the_chance_is_the_area_under_the_curve(first):
    for second in range(first + 1):
        assert leads(first, second) == float(area(first, second))


def test_many_votes():
    assert leads(1000, 100) == pytest.approx(1)
    assert leads(500, 500) == 0.5


@pytest.mark.parametrize(
    ("confidence", "needed"), [(0.8, {0: 2, 1: 3, 2: 5}), (0.9, {0: 3, 1: 5, 2: 6}), (0.95, {0: 4, 1: 6, 2: 8})]
)
def test_what_it_takes(confidence, needed):
    plan = Beta(confidence)
    for second, first in needed.items():
        assert isinstance(plan.enough(came_to(*"b" * second, *"a" * first), 0, 20), Stop)
        assert isinstance(plan.enough(came_to(*"b" * second, *"a" * (first - 1)), 0, 20), More)


def test_what_it_says():
    said = Beta().enough(came_to("b", "a", None, "a", "a"), 0, 8)
    assert said == Stop("the leading answer has 3 votes and the next 1: 0.81 by the Beta rule", (1, 3, 4))
    assert (Beta().name, Beta(0.9, [4, 1]).name) == ("beta", "beta(confidence=0.9, waves=(4, 1))")


@pytest.mark.parametrize(("answers", "count"), [("", 2), ("a", 1), ("ab", 2), ("abc", 2), ("abcb", 1)])
def test_as_few_as_could_settle_it(answers, count):
    assert Beta().enough(came_to(*answers), 0, 8) == More(count)


def test_where_nothing_could_settle_it_all_that_are_left():
    assert Beta(0.99).enough(came_to(*"abab"), 0, 8) == More(4)
    assert Beta().enough(came_to(None), 0, 1) == More(1)


@pytest.mark.parametrize("confidence", [0.5, 1, 0, -1, "high", None])
def test_confidence_is_a_probability_above_a_half(confidence):
    with pytest.raises(ConfigError, match=r"confidence is .*; give a probability"):
        Beta(confidence)


def slowly(confidence):
    def decide(ended, to_come):
        answers = [answer for _, answer in ended]
        winner = vote(answers)
        if winner is None:
            return None
        rest = [answer for answer in answers if answer != answers[winner]]
        second = vote(rest)
        first, second = len(answers) - len(rest), 0 if second is None else rest.count(rest[second])
        return {p for p, answer in ended if answer == answers[winner]} if area(first, second) >= confidence else None

    return decide


@pytest.mark.parametrize(("confidence", "waves"), [(0.8, (1,)), (0.7, (2,)), (0.9, (3, 1))])
def test_it_is_what_is_said_of_it(confidence, waves):
    for answers in all_ballots(6, ["a", "b", None, FAILED]):
        expected = in_turn(slowly(confidence), answers, waves)
        assert ran(Beta(confidence, waves), answers) == expected, answers
        if waves == (1,):  # its own waves save time and cost no rollout
            assert ran(Beta(confidence), answers) == expected, answers
