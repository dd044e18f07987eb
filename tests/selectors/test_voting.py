from __future__ import annotations

import itertools

import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.selectors import Ballot, tally

pytestmark = pytest.mark.filterwarnings("error")

votes = st.lists(st.tuples(st.sampled_from("abc"), st.floats(1e-6, 1)), max_size=12)


@given(votes, st.randoms(use_true_random=False))
@own.examples(300)
def test_the_shares_and_the_order(cast, random):
    ballots = {3 * i: Ballot(*vote) for i, vote in enumerate(cast)}
    scores, order = tally(ballots)
    shares, places = slowly.vote([answer for answer, _ in cast], [weight for _, weight in cast])
    assert list(scores.values()) == pytest.approx(shares)
    assert order == tuple(3 * place for place in places)
    mixed = list(ballots.items())
    random.shuffle(mixed)
    again, order_again = tally(dict(mixed))
    assert (again, order_again) == (scores, order)


def test_equal_weights_are_equal_in_whatever_order_they_come():
    weights = (0.1, 0.2, 0.3, 0.7)
    for one, other in itertools.product(itertools.permutations(weights), repeat=2):
        ballots = {i: Ballot("a", w) for i, w in enumerate(one)} | {9 + i: Ballot("b", w) for i, w in enumerate(other)}
        scores, order = tally(ballots)
        assert set(scores.values()) == {0.5}
        assert order[0] == 0


def test_no_votes():
    assert tally({}) == ({}, ())
