from __future__ import annotations

import drawn
import numpy as np
import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import baseline as restatement
from ec_agent.errors import ConfigError
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, CentroidWeightedVote, LowestCentroid, MajorityVote, validity

pytestmark = pytest.mark.filterwarnings("error")


def peak(index, place, answer):
    """A rollout of 20 tokens that is unsure once: its centroid is ``(place + 0.5) / 20``."""
    entropies = np.zeros(20)
    entropies[place] = 1.0
    return Candidate(index, Trajectory.from_entropies(entropies), answer, HEPConfig(0, 0, 2))


def test_what_it_says_of_itself():
    assert (CentroidWeightedVote().name, CentroidWeightedVote().signals) == ("centroid_weighted_vote", ("entropy",))
    assert CentroidWeightedVote(power=2).name == "centroid_weighted_vote(power=2)"


def test_a_vote_weighs_one_less_its_centroid():
    group = [peak(0, 15, "a"), peak(1, 0, "b"), peak(2, 17, "a")]
    ranking = CentroidWeightedVote().select(group)
    a, b = 4.5 / 20 + 2.5 / 20, 19.5 / 20
    assert ranking.scores == pytest.approx({0: a / (a + b), 1: b / (a + b), 2: a / (a + b)})
    assert ranking.order == (1, 0, 2)
    assert MajorityVote().select(group).order == (0, 2, 1)


def test_without_a_centroid_no_vote():
    group = [Candidate(0, Trajectory(), "a"), peak(1, 19, "b"), peak(2, 0, None)]
    ranking = CentroidWeightedVote().select(group)
    assert ranking.order == (1,)
    assert ranking.reasons == {0: "no_phases", 2: "no_vote"}
    assert ranking.warnings == validity(group)


def test_who_cannot_be_scored_has_no_vote():
    unseen = Candidate(0, peak(0, 0, "a").trajectory, "a", unscored="coverage")
    assert CentroidWeightedVote().select([unseen, peak(1, 19, "b")]).order == (1,)


@given(drawn.groups, st.sampled_from([0, 0.5, 1, 3]))
@own.examples(100)
def test_it_counts(group, power):
    ranking = CentroidWeightedVote(power=power).select(group)
    voters = [c for c in group if c.eligible]
    answers, weights = [], []
    for c in voters:
        line = drawn.timeline(c, "entropy")
        found = restatement.phases(line, c.config.top_percent, c.config.bottom_percent, c.config.consecutive_low)
        centroid = restatement.centroid(found, len(line))
        answers.append(None if centroid is None else (c.final_action or "").strip() or None)
        weights.append(0.0 if centroid is None else (1 - centroid) ** power)
    shares, places = slowly.vote(answers, weights)
    assert [ranking.scores[c.index] for c in voters] == pytest.approx(shares)
    assert ranking.order == tuple(voters[place].index for place in places)
    assert drawn.same(CentroidWeightedVote(power=power).select(group[::-1]), ranking)


def test_from_one_vote_each_to_the_lowest_centroid_alone():
    group = [peak(0, 9, "a"), peak(1, 3, "b"), peak(2, 12, "a"), peak(3, 14, "a")]
    assert CentroidWeightedVote(power=0).select(group).order == MajorityVote().select(group).order
    assert CentroidWeightedVote(power=100).select(group).order[0] == LowestCentroid().select(group).order[0] == 1


@pytest.mark.parametrize("power", [-1, True, None, "1", float("nan"), float("inf"), 101])
def test_a_power_is_a_number(power):
    with pytest.raises(ConfigError, match=r"power is .*; give a number from 0 to 100"):
        CentroidWeightedVote(power=power)


def test_normalize_is_a_function():
    with pytest.raises(ConfigError, match="give a function from a final action"):
        CentroidWeightedVote(None)
