from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from stored_families import TABLE, ByScore, stored

from ec_agent import Candidate, Trajectory
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.bootstrap import Resampling
from ec_agent.evaluation.statistics.score_bins import calibration
from ec_agent.evaluation.statistics.standing import standing

FAST = Resampling(resamples=499)
BY_ACTION = ByScore("by_action", lambda c: c.final_action, signals=())


def binned(results, selector, **settings):
    return calibration(results, [standing(result.candidates, selector) for result in results], FAST, **settings)


def simulated(tasks=200, n=5):
    rng = np.random.default_rng(0)
    for task in range(tasks):
        scores = rng.random(n)
        group = tuple(Candidate(i, Trajectory(), float(score)) for i, score in enumerate(scores))
        yield TaskResult(f"t{task}", group, (rng.random(n) < scores).astype(float))


def test_a_score_that_is_the_chance_of_success_is_calibrated():
    found = binned(list(simulated()), BY_ACTION)
    assert [one.rollouts for one in found] == [100] * 10
    for one in found:
        assert one.low <= one.score <= one.high
        assert one.success == pytest.approx(one.score, abs=0.15)
        assert one.success_low < one.success < one.success_high
    assert sum(one.success_low <= one.score <= one.success_high for one in found) >= 8


def test_every_ranked_rollout_is_in_one_bin_and_equal_scores_are_in_the_same():
    results = stored("red2")
    found = binned(results, TABLE["lowest_centroid 1/80/2"])
    assert sum(one.rollouts for one in found) == 800
    assert all(before.high < after.low for before, after in pairwise(found))
    total = sum(one.success * one.rollouts for one in found)
    assert total == pytest.approx(sum(result.correct.sum() for result in results))


def test_one_score_is_one_bin():
    group = tuple(Candidate(i, Trajectory(), 1.0) for i in range(4))
    (only,) = binned([TaskResult("t", group, np.array([1.0, 0, 0, 1]))], BY_ACTION)
    assert (only.rollouts, only.success) == (4, 0.5)
    assert only.success_low is only.success_high is None


def test_without_scores_there_are_no_bins():
    group = (Candidate(0, Trajectory(), None),)
    assert binned([TaskResult("t", group, np.zeros(1))], BY_ACTION) == ()
