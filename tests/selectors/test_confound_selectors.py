"""The four selectors that look at nothing but when a rollout stopped."""

from __future__ import annotations

import drawn
import pytest
import strategies as own
from hypothesis import given

from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import CONFOUNDS, Candidate, FewestCalls, Longest, MostCalls, Shortest

pytestmark = pytest.mark.filterwarnings("error")


def tokens(candidate):
    count = 0
    for call in candidate.trajectory.calls:
        if call.tokens is None:
            return None
        count += call.tokens
    return count if candidate.trajectory.calls else None


def calls(candidate):
    count = 0
    for _ in candidate.trajectory.calls:
        count += 1
    return count if count else None


# selector -> what it counts, whether fewer is better, why a rollout has no score
KINDS = {
    "shortest": (Shortest(), tokens, True, "length_unknown"),
    "longest": (Longest(), tokens, False, "length_unknown"),
    "fewest_calls": (FewestCalls(), calls, True, "no_calls"),
    "most_calls": (MostCalls(), calls, False, "no_calls"),
}


def test_they_are_the_confounds():
    assert tuple(KINDS) == CONFOUNDS


@pytest.mark.parametrize("name", KINDS)
def test_what_they_say_of_themselves(name):
    assert (KINDS[name][0].name, KINDS[name][0].signals) == (name, ())


@pytest.mark.parametrize("name", KINDS)
def test_they_count(name):
    selector, slow, lower, _ = KINDS[name]

    @given(drawn.groups)
    @own.examples(60)
    def holds(group):
        drawn.check_ranking(selector, group, slow, lower=lower)

    holds()


@pytest.mark.parametrize("name", KINDS)
def test_an_example_without_logprobs(name):
    selector, _, lower, reason = KINDS[name]
    group = [
        Candidate(0, Trajectory([Call([], tokens=5), Call([], tokens=5)]), unscored="coverage"),
        Candidate(1, Trajectory([Call([], tokens=8)]), unscored="coverage"),
        Candidate(2, Trajectory([Call([], tokens=9), Call([], tokens=1), Call([], tokens=9)]), unscored="coverage"),
        Candidate(3, Trajectory(), unscored="coverage"),
        Candidate(4, Trajectory([Call([], tokens=1)]), error="timeout"),
    ]
    ranking = selector.select(group)
    assert ranking.order == ((1, 0, 2) if lower else (2, 0, 1))
    assert ranking.reasons == {3: reason}
    assert ranking.warnings == ()
