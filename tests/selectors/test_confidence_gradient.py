from __future__ import annotations

import drawn
import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.selectors import Candidate, ConfidenceGradient, ConfidenceWeightedVote, DeepConfMean, validity

pytestmark = pytest.mark.filterwarnings("error")


def group_of(*rollouts):
    return [Candidate(i, drawn.signalled("confidence", line), answer) for i, (answer, line) in enumerate(rollouts)]


def test_what_it_says_of_itself():
    selector = ConfidenceGradient()
    assert (selector.name, selector.signals) == ("confidence_gradient", ("confidence",))
    assert (selector.beta, selector.part, selector.power) == (3.0, 0.1, 0.5)
    assert ConfidenceGradient(beta=10).name == "confidence_gradient(beta=10)"


def test_an_example():
    # 20 tokens: two at each end. Mean 1.2, gradient 2 - 1 = 1 for the first; 1.5, gradient 0 for the others.
    up, flat = [1.0] * 16 + [2.0] * 4, [1.5] * 20
    ranking = ConfidenceGradient().select(group_of(("a", flat), ("b", up), ("a", flat)))
    assert ranking.scores == pytest.approx({0: 2**0.5 * 1.5, 1: 1.2 + 3, 2: 2**0.5 * 1.5})
    assert ranking.order == (1, 0, 2)


def test_scores_can_be_below_0_and_then_more_votes_are_worse():
    down = [3.0, *[1.0] * 18, 0.0]
    group = group_of(("a", [5.0, 0.0]), ("a", [5.0, 0.0]), ("b", [5.0, 0.0]), ("c", down))
    ranking = ConfidenceGradient(beta=10).select(group)
    assert ranking.scores[0] == pytest.approx(-(2**0.5) * 47.5)
    assert ranking.order == (3, 2, 0, 1)


def test_without_a_confidence_no_vote():
    group = group_of(("a", [None, None]), ("b", [0.25]), (None, [9.0]))
    ranking = ConfidenceGradient().select(group)
    assert (ranking.order, ranking.scores) == ((1,), {0: None, 1: 0.25, 2: None})
    assert ranking.reasons == {0: "no_signal", 2: "no_vote"}
    assert ranking.warnings == validity(group, "confidence", phases=False)


def test_gaps_do_not_count():
    gapped = group_of(("a", [None, 1.0, None, 3.0, None]))
    assert ConfidenceGradient().select(gapped).scores == {0: 2.0 + 3 * 2.0}


def test_ties_go_to_the_answer_seen_first():
    assert ConfidenceGradient().select(group_of(("b", [2.0]), ("a", [2.0]))).order == (0, 1)


def test_without_the_gradient_and_at_full_power_it_is_the_weighted_vote():
    group = group_of(("a", [1.0, 2.0]), ("b", [9.0, 7.0]), ("a", [3.0]), ("c", [4.0, 0.5]))
    plain = ConfidenceGradient(beta=0, power=1).select(group)
    assert plain.order == ConfidenceWeightedVote().select(group).order
    alone = ConfidenceGradient(beta=0).select(group_of(*[(str(i), [float(i), 2.0]) for i in range(5)]))
    assert alone.order == DeepConfMean().select(group_of(*[(None, [float(i), 2.0]) for i in range(5)])).order


@pytest.mark.parametrize(
    ("setting", "rather"),
    [
        ({"beta": "3"}, "beta is '3'; give a number from -1000"),
        ({"beta": float("inf")}, "beta is inf"),
        ({"part": 0}, "part is 0; give a share of the tokens"),
        ({"part": 0.6}, "part is 0.6"),
        ({"power": -0.1}, "power is -0.1; give a number from 0 to 1"),
        ({"power": True}, "power is True"),
        ({"normalize": None}, "give a function from a final action"),
    ],
    ids=str,
)
def test_what_it_refuses(setting, rather):
    with pytest.raises(ConfigError, match=rather):
        ConfidenceGradient(**setting)


@given(drawn.groups, st.sampled_from([-2.0, 0, 0.5, 3.0, 10.0]), st.integers(1, 5), st.sampled_from([0, 0.5, 1]))
@own.examples(200)
def test_it_is_the_formula(group, beta, tenths, power):
    selector = ConfidenceGradient(beta=beta, part=tenths / 10, power=power)
    ranking = selector.select(group)
    voters = [c for c in group if c.eligible]
    answers, values = [], []
    for c in voters:
        found = slowly.gradient(drawn.timeline(c, "confidence"), tenths)
        answers.append(None if found is None else (c.final_action or "").strip() or None)
        values.append(0.0 if found is None else found[1] + beta * found[0])
    scores = []
    for answer in answers:
        mine = [value for other, value in zip(answers, values, strict=True) if other == answer]
        scores.append(None if answer is None else len(mine) ** power * sum(mine) / len(mine))
    for c, score in zip(voters, scores, strict=True):
        assert ranking.scores[c.index] == (None if score is None else pytest.approx(score, rel=1e-9, abs=1e-12))
    order = [i for i, answer in enumerate(answers) if answer is not None]
    order.sort(key=lambda i: (-ranking.scores[voters[i].index], answers.index(answers[i]), i))
    assert ranking.order == tuple(voters[i].index for i in order)
    assert drawn.same(selector.select(group[::-1]), ranking)
