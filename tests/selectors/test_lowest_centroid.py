from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from short_form import part_of

from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import Candidate, LowestCentroid, validity

pytestmark = pytest.mark.filterwarnings("error")

# theta_high is the highest entropy, theta_low the lowest; two of these in a row end a phase.
CONFIG = HEPConfig(0, 0, 2)


def peak_at(place, length=20):
    """A rollout that is unsure once: its centroid is ``(place + 0.5) / length``."""
    entropies = np.zeros(length)
    entropies[place] = 1.0
    return Trajectory.from_entropies(entropies)


def candidates_of(*places, **more):
    return [
        Candidate(index, Trajectory() if place is None else peak_at(place), config=CONFIG, **more)
        for index, place in enumerate(places)
    ]


def select(candidates):
    return LowestCentroid().select(candidates)


def test_what_it_says_of_itself():
    assert LowestCentroid().name == "lowest_centroid"
    assert tuple(LowestCentroid().signals) == ("entropy",)
    assert LowestCentroid() == LowestCentroid()


def test_the_lowest_centroid_is_first():
    ranking = select(candidates_of(12, 3, 17, 8))
    assert ranking.order == (1, 3, 0, 2)
    assert ranking.scores == {0: 12.5 / 20, 1: 3.5 / 20, 2: 17.5 / 20, 3: 8.5 / 20}
    assert ranking.reasons == {}
    assert ranking.warnings == validity(candidates_of(12, 3, 17, 8))
    assert len(ranking.warnings) == 3  # one phase each, thresholds from one token, and that token's place


def test_a_sound_comparison_has_no_warnings():
    draw = np.random.default_rng(3)
    group = [Candidate(index, Trajectory.from_entropies(draw.exponential(0.3, 2000))) for index in range(4)]
    assert select(group).warnings == ()


def test_ties_go_to_the_lowest_index():
    assert select(candidates_of(5, 3, 5, 3, 3)).order == (1, 3, 4, 0, 2)
    assert select(candidates_of(5, 3, 5, 3, 3)[::-1]).order == (1, 3, 4, 0, 2)


def test_a_rollout_without_centroid_never_wins():
    ranking = select(candidates_of(None, 17, None, 3))
    assert ranking.order == (3, 1)
    assert ranking.scores == {0: None, 1: 17.5 / 20, 2: None, 3: 3.5 / 20}
    assert ranking.reasons == {0: "no_phases", 2: "no_phases"}


@pytest.mark.parametrize("why", [{"unscored": "coverage"}, {"error": "timeout"}])
def test_a_rollout_that_cannot_be_used_is_not_ranked(why):
    best, other = candidates_of(0, 17)
    ranking = select([Candidate(0, best.trajectory, config=CONFIG, **why), other])
    assert ranking.order == (1,)
    assert ranking.scores == {0: None, 1: 17.5 / 20}
    # Its reason is known to whoever set it aside; the selector does not give it another.
    assert "no_phases" not in ranking.reasons.values()


@pytest.mark.parametrize(
    "candidates", [[], candidates_of(None, None), candidates_of(1, 2, error="x"), candidates_of(1, unscored="coverage")]
)
def test_nobody_to_rank(candidates):
    ranking = select(candidates)
    assert ranking.order == ()
    assert ranking.scores == {candidate.index: None for candidate in candidates}


def test_a_call_without_logprobs_has_no_centroid():
    gaps = Candidate(0, Trajectory([Call([], tokens=9)]))
    assert select([gaps]).reasons == {0: "no_phases"}


def test_each_candidate_is_scored_with_its_own_settings():
    trajectory = Trajectory.from_entropies([9.0, 0.0, 0.0, 8.0, 0.0])
    ranking = select([Candidate(0, trajectory, config=HEPConfig(0, 0, 3)), Candidate(1, trajectory, config=CONFIG)])
    assert ranking.scores == {0: 2.5 / 5, 1: 0.5 / 5}
    assert ranking.order == (1, 0)


def test_the_final_action_plays_no_part():
    right, wrong = candidates_of(3, 9)
    ranking = select([right, Candidate(1, wrong.trajectory, final_action="the answer", config=CONFIG)])
    assert ranking.order == (0, 1)


def test_indices_need_not_be_consecutive():
    ranking = select([Candidate(7, peak_at(9), config=CONFIG), Candidate(2, peak_at(4), config=CONFIG)])
    assert ranking.order == (2, 7)
    assert set(ranking.scores) == {2, 7}


rollouts = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 19)), st.sampled_from([None, "coverage"]), st.sampled_from([None, "x"])
    ),
    max_size=8,
)


@given(rollouts, st.randoms(use_true_random=False))
@settings(max_examples=part_of(300), deadline=None)
def test_a_ranking_is_sorted_complete_and_order_independent(drawn, random):
    candidates = [
        Candidate(index, Trajectory() if place is None else peak_at(place), None, CONFIG, unscored, error)
        for index, (place, unscored, error) in enumerate(drawn)
    ]
    ranking = select(candidates)
    eligible = [c.index for c in candidates if c.eligible and len(c.trajectory)]
    assert sorted(ranking.order) == eligible
    assert list(ranking.order) == sorted(eligible, key=lambda index: (drawn[index][0], index))
    assert set(ranking.scores) == set(range(len(candidates)))
    assert all((ranking.scores[c.index] is None) == (c.index not in eligible) for c in candidates)
    assert set(ranking.reasons) == {c.index for c in candidates if c.eligible} - set(eligible)
    shuffled = list(candidates)
    random.shuffle(shuffled)
    again = select(shuffled)
    assert (again.order, again.scores, again.reasons) == (ranking.order, ranking.scores, ranking.reasons)
