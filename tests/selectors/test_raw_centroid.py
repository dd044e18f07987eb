from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, RawCentroid

pytestmark = pytest.mark.filterwarnings("error")


def score(*calls):
    return RawCentroid().score(Candidate(0, Trajectory.from_entropies(*calls)))


def test_what_it_says_of_itself():
    assert (RawCentroid().name, RawCentroid().signals) == ("raw_centroid", ("entropy",))


@given(drawn.groups)
@own.examples(60)
def test_each_token_weighs_its_entropy(group):
    drawn.check_ranking(RawCentroid(), group, lambda c: slowly.raw_centroid(drawn.timeline(c, "entropy")), lower=True)


def test_examples():
    assert score([1.0, 0.0, 0.0, 0.0]) == 0.0
    assert score([0.0, 0.0, 0.0, 1.0]) == 0.75  # the index of a token, not its middle
    assert score([1.0, 0.0, 3.0, 0.0]) == 6 / 4 / 4
    assert score([1.0, 0.0], [3.0, 0.0]) == 6 / 4 / 4


def test_a_gap_keeps_its_place_and_weighs_nothing():
    assert score([None, 1.0, None, None]) == 0.25
    assert score([None, None]) is None


def test_no_mass_no_centroid():
    ranking = RawCentroid().select([Candidate(0, Trajectory.from_entropies([0.0, 0.0]))])
    assert (ranking.order, ranking.scores, ranking.reasons) == ((), {0: None}, {0: "no_mass"})
