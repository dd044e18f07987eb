from __future__ import annotations

import drawn
import pytest
import strategies as own
from hypothesis import given

from ec_agent.selectors import Candidate, Shortest
from ec_agent.trajectory import Call, Trajectory

pytestmark = pytest.mark.filterwarnings("error")


def slow(candidate):
    count = 0
    for call in candidate.trajectory.calls:
        if call.tokens is None:
            return None
        count += call.tokens
    return count if candidate.trajectory.calls else None


def test_what_it_says_of_itself():
    assert (Shortest().name, Shortest().signals) == ("shortest", ())


@given(drawn.groups)
@own.examples(60)
def test_it_counts(group):
    drawn.check_ranking(Shortest(), group, slow, lower=True)


def test_an_example_without_logprobs():
    group = [
        Candidate(0, Trajectory([Call([], tokens=5), Call([], tokens=5)]), unscored="coverage"),
        Candidate(1, Trajectory([Call([], tokens=8)]), unscored="coverage"),
        Candidate(2, Trajectory([Call([], tokens=9), Call([], tokens=1), Call([], tokens=9)]), unscored="coverage"),
        Candidate(3, Trajectory(), unscored="coverage"),
        Candidate(4, Trajectory([Call([], tokens=1)]), error="timeout"),
    ]
    ranking = Shortest().select(group)
    assert ranking.order == (1, 0, 2)
    assert ranking.reasons == {3: "length_unknown"}
    assert ranking.warnings == ()
