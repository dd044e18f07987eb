from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import Candidate, ConfidenceWeightedVote, MajorityVote, validity

pytestmark = pytest.mark.filterwarnings("error")


def group_of(*rollouts):
    return [Candidate(i, drawn.signalled("confidence", line), answer) for i, (answer, line) in enumerate(rollouts)]


def test_what_it_says_of_itself():
    selector = ConfidenceWeightedVote()
    assert (selector.name, selector.signals) == ("confidence_weighted_vote", ("confidence",))
    assert ConfidenceWeightedVote(normalize=len).name == "confidence_weighted_vote(normalize=len)"


def test_a_vote_weighs_its_mean_confidence():
    group = group_of(("a", [1.0, 2.0]), ("b", [9.0, 7.0]), ("a", [3.0]))
    ranking = ConfidenceWeightedVote().select(group)
    assert ranking.order == (1, 0, 2)
    assert ranking.scores == pytest.approx({0: 4.5 / 12.5, 1: 8 / 12.5, 2: 4.5 / 12.5})
    assert MajorityVote().select(group).order[0] == 0


def test_without_a_confidence_no_vote():
    group = group_of(("a", [None, None]), ("b", [0.25]), (None, [9.0]), ("a", [0.0]))
    ranking = ConfidenceWeightedVote().select(group)
    assert ranking.order == (1,)
    assert ranking.reasons == {0: "no_signal", 2: "no_vote", 3: "no_signal"}
    assert ranking.warnings == validity(group, "confidence", phases=False)


def test_gaps_do_not_count():
    gapped = group_of(("a", [None, 1.0, None, 3.0]), ("b", [1.9]))
    assert ConfidenceWeightedVote().select(gapped).scores == pytest.approx({0: 2 / 3.9, 1: 1.9 / 3.9})


def test_ties_go_to_the_answer_seen_first():
    assert ConfidenceWeightedVote().select(group_of(("b", [2.0]), ("a", [1.0]), ("a", [1.0]))).order == (0, 1, 2)


def test_a_signal_that_was_not_kept_is_an_error():
    with pytest.raises(ConfigError, match="'confidence' was not kept"):
        ConfidenceWeightedVote().select([Candidate(0, Trajectory([Call([0.1])]), "a")])


@given(drawn.groups)
@own.examples(150)
def test_it_counts(group):
    ranking = ConfidenceWeightedVote().select(group)
    voters = [c for c in group if c.eligible]
    answers, weights = [], []
    for c in voters:
        weight = slowly.mean(drawn.timeline(c, "confidence"))
        heard = weight is not None and weight > 0
        answers.append((c.final_action or "").strip() or None if heard else None)
        weights.append(weight if heard else 0.0)
    shares, places = slowly.vote(answers, weights)
    assert [ranking.scores[c.index] for c in voters] == pytest.approx(shares)
    assert ranking.order == tuple(voters[place].index for place in places)
    assert drawn.same(ConfidenceWeightedVote().select(group[::-1]), ranking)
