from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, MajorityVote

pytestmark = pytest.mark.filterwarnings("error")


def group_of(*actions):
    return [Candidate(index, Trajectory(), action, unscored="coverage") for index, action in enumerate(actions)]


def test_what_it_says_of_itself():
    assert (MajorityVote().name, MajorityVote().signals) == ("majority_vote", ())
    assert MajorityVote(normalize=len).name == "majority_vote(normalize=len)"


def test_the_first_rollout_of_the_most_frequent_answer_wins():
    ranking = MajorityVote().select(group_of("no", "yes", "maybe", " yes", "no", "yes "))
    assert ranking.order == (1, 3, 5, 0, 4, 2)
    assert ranking.scores == {0: 2 / 6, 1: 3 / 6, 2: 1 / 6, 3: 3 / 6, 4: 2 / 6, 5: 3 / 6}
    assert (ranking.reasons, ranking.warnings) == ({}, ())


def test_ties_go_to_the_answer_seen_first():
    assert MajorityVote().select(group_of("b", "a", "a", "b")).order == (0, 3, 1, 2)
    assert MajorityVote().select(group_of("b", "a", "a", "b")[::-1]).order == (0, 3, 1, 2)


def test_no_answer_no_vote():
    ranking = MajorityVote().select(group_of(None, "a", ""))
    assert (ranking.order, ranking.scores) == ((1,), {0: None, 1: 1.0, 2: None})
    assert ranking.reasons == {0: "no_vote", 2: "no_vote"}


def test_a_failed_rollout_has_no_vote():
    failed = Candidate(0, Trajectory(), "a", error="timeout")
    assert MajorityVote().select([failed]).order == ()
    assert MajorityVote().select([failed]).reasons == {}


def test_normalize_makes_answers_the_same():
    ranking = MajorityVote(normalize=lambda text: text.split()[0]).select(group_of("2 g", "14 pounds", "14 GBP"))
    assert ranking.order == (1, 2, 0)


@pytest.mark.parametrize("normalize", [None, "lower", 3])
def test_normalize_is_a_function(normalize):
    with pytest.raises(ConfigError, match="give a function from a final action"):
        MajorityVote(normalize)


@given(drawn.groups)
@own.examples(100)
def test_it_counts(group):
    ranking = MajorityVote().select(group)
    voters = [c for c in group if c.error is None]
    answers = [(c.final_action or "").strip() or None for c in voters]
    shares, places = slowly.vote(answers, [1.0] * len(voters))
    assert [ranking.scores[c.index] for c in voters] == pytest.approx(shares)
    assert ranking.order == tuple(voters[place].index for place in places)
    assert drawn.same(MajorityVote().select(group[::-1]), ranking)
