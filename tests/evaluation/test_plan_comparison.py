from __future__ import annotations

import numpy as np
import pytest
from stored_families import stored

from ec_agent.errors import ConfigError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.statistics.bootstrap import Estimate, ratio
from ec_agent.evaluation.statistics.plan_comparison import ALL, compare_plans
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, LowestCentroid, MajorityVote
from ec_agent.stopping import Agreement, Beta, OutOfReach

pytestmark = pytest.mark.filterwarnings("error")

FEW = Resampling(999)


def task(name, answers, lengths):
    candidates = (
        Candidate(i, Trajectory.from_entropies([0.5] * length), answer)
        for i, (answer, length) in enumerate(zip(answers, lengths, strict=True))
    )
    return TaskResult(name, tuple(candidates), [float(answer == "a") for answer in answers])


def test_each_plan_beside_all_at_once():
    tasks = [task("easy", "aaaa", [1] * 4), task("hard", "abab", [9] * 4), task("wrong", "bbbb", [2] * 4)]
    whole, half = compare_plans(tasks, [None, Agreement()], MajorityVote(), resampling=FEW)
    assert (whole.plan, half.plan) == (ALL, "agreement")
    assert (whole.tokens.value, whole.bill.value, whole.length.value, whole.started, whole.same_winner) == (
        1,
        1,
        1,
        4,
        1,
    )
    assert whole.difference == Estimate(0.0, None, None, 3)
    # Easy and wrong stop at two of four; of the hard one a third of the pairs agree.
    assert half.started == pytest.approx((2 + (4 - 2 / 3) + 2) / 3)
    assert half.tokens.value == pytest.approx((0.5 + (1 - 1 / 6) + 0.5) / 3)
    assert half.bill.value == pytest.approx((2 + 36 * (1 - 1 / 6) + 4) / (4 + 36 + 8))
    assert half.length.value == pytest.approx((1 + 9 * (2 - 1 / 3) + 2) / (1 + 9 + 2))
    assert (half.exact, half.difference.value) == (True, pytest.approx(0))


@pytest.mark.whole_form("a page's figures anew; test_evaluation_table.py has others in the short form")
def test_what_was_measured_on_stored_rollouts():
    """Lowest Centroid is shielded where rollouts agree, and a vote loses nothing to the certain plan."""
    results = stored("red2")
    votes = compare_plans(results, [OutOfReach([4, 1]), Beta(), Agreement()], MajorityVote(), resampling=FEW)
    certain, beta, half = votes
    assert (certain.same_winner, certain.difference.value) == (1.0, 0.0)
    assert certain.tokens.value == pytest.approx(0.767, abs=0.005)
    assert half.same_winner == 1.0
    assert beta.tokens.value < 0.65
    assert -0.02 < beta.difference.value < 0.01
    centroid, shielded = compare_plans(results, [None, Agreement()], LowestCentroid(), resampling=FEW)
    assert centroid.accuracy.value == pytest.approx(0.386, abs=0.002)
    assert shielded.accuracy.value == pytest.approx(0.445, abs=0.005)
    assert shielded.difference.excludes(0) == 1


def test_a_ratio_of_sums_with_its_interval():
    rng = np.random.default_rng(0)
    under = rng.integers(50, 500, 60).astype(float)
    over = under * rng.uniform(0.3, 1, 60)
    found = ratio(over, under, FEW)
    assert found.value == pytest.approx(over.sum() / under.sum())
    drawn = rng.integers(0, 60, (4000, 60))
    low, high = np.percentile(over[drawn].sum(axis=1) / under[drawn].sum(axis=1), [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.015), pytest.approx(high, abs=0.015))


def test_a_ratio_without_an_interval_or_a_value():
    assert ratio(np.array([1.0, 2.0]), np.array([2.0, 4.0]), FEW) == Estimate(0.5, None, None, 2)
    assert ratio(np.array([1.0]), np.array([2.0]), FEW) == Estimate(0.5, None, None, 1)
    assert ratio(np.zeros(3), np.zeros(3), FEW) == Estimate(None, None, None, 3)


@pytest.mark.parametrize(
    ("plans", "said"), [("beta", "plans is 'beta'"), (["beta"], "a plan in plans is 'beta'; give an")]
)
def test_what_is_no_list_of_plans(plans, said):
    with pytest.raises(ConfigError, match=said):
        compare_plans([task("t", "ab", [1, 1])], plans, MajorityVote())
