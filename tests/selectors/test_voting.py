from __future__ import annotations

import itertools

import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Ballot, Candidate, CentroidWeightedVote, MajorityVote, VoteSelector, tally

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


class ByIndex(VoteSelector):
    """A vote of a user's own: later rollouts weigh more."""

    label = "by_index"
    signals = ()

    def weight(self, candidate):
        return 1.0 + candidate.index


VOTES = [MajorityVote(), CentroidWeightedVote(), CentroidWeightedVote(power=0), ByIndex()]


def rollouts(*answers):
    """Rollout ``i`` gives answer ``i``; its centroid is the lower, the later it is."""
    group = []
    for index, answer in enumerate(answers):
        entropies = [0.1] * 20
        entropies[15 - 3 * index] = 2.0
        group.append(Candidate(index, Trajectory.from_entropies(entropies), answer, HEPConfig(0, 0, 2)))
    return group


def told(selector, *answers):
    return [note for note in selector.select(rollouts(*answers)).warnings if "no majority" in note]


@pytest.mark.parametrize("vote", VOTES, ids=lambda vote: vote.name)
def test_a_majority_in_which_no_two_agree_says_so(vote):
    (said,) = told(vote, "a", "b", "c")
    assert "no two of the 3 votes agree" in said
    equal = vote.name in ("majority_vote", "centroid_weighted_vote(power=0)")
    assert ("the first was taken" if equal else "the one of most weight was taken") in said
    assert vote.select(rollouts("a", "b", "c")).order[0] == (0 if equal else 2)
    assert told(vote, "a", None, "b")
    assert "no two of the 2 votes" in told(vote, "a", None, "b")[0]


@pytest.mark.parametrize(
    "answers", [("a", "b", "a"), ("a", "a"), (" a", "a ", "b", "c"), ("a",), ("a", None), (None,) * 2]
)
@pytest.mark.parametrize("vote", VOTES, ids=lambda vote: vote.name)
def test_agreement_or_a_single_vote_gives_no_warning(vote, answers):
    assert told(vote, *answers) == []


def test_no_votes():
    assert tally({}) == ({}, ())
