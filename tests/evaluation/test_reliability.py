"""Brier score, calibration error and abstention curve: told once more slowly, and where there is nothing to see."""

from __future__ import annotations

import numpy as np
import pytest

from ec_agent import ConfigError
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.statistics.reliability import BINS, SHARES, reliability

FAST = Resampling(resamples=500)


def drawn(tasks=80, repeats=3, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    true = rng.beta(1.2, 0.8, tasks)
    p = np.clip(true + rng.normal(0, 0.05, (repeats, tasks)), 0.01, 0.99)
    right = (rng.random(tasks) < np.clip(true - shift, 0, 1)).astype(float)
    return p, np.full_like(p, right.mean()), right


@pytest.mark.parametrize("seed", range(4))
def test_all_of_it_equals_a_slow_restatement(seed):
    p, c, y = drawn(seed=seed)
    y = np.where(np.arange(len(y)) % 7 == 0, 0.5, y)  # a verdict may be a share
    found = reliability(p, c, y, FAST)
    repeats, tasks = p.shape
    pairs = [(p[r][t], y[t]) for r in range(repeats) for t in range(tasks)]
    assert found.brier.value == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / len(pairs))
    assert found.brier_minus_constant.value == pytest.approx(found.brier.value - found.brier_constant.value)
    bins = [[pair for pair in pairs if min(int(pair[0] * BINS), BINS - 1) == place] for place in range(BINS)]
    error = sum(abs(sum(b - a for a, b in each)) for each in bins) / len(pairs)
    assert found.ece.value == pytest.approx(error)
    there = [each for each in bins if each]
    assert [each.share for each in found.bins] == pytest.approx([len(each) / len(pairs) for each in there])
    for told, each in zip(found.bins, there, strict=True):
        assert told.probability == pytest.approx(np.mean([a for a, _ in each]))
        assert told.right.value == pytest.approx(np.mean([b for _, b in each]))
    for point in found.answered:
        answers = [b for a, b in pairs if a >= point.least]
        assert point.share == pytest.approx(len(answers) / len(pairs))
        assert point.accuracy.value == pytest.approx(np.mean(answers))
    assert found.answered[-1].share == 1.0
    assert found.answered[-1].accuracy.value == pytest.approx(y.mean())


def test_the_base_rate_is_calibrated_and_knows_nothing():
    """The constant of each fold is a little off, the other way than its tasks; over all of them that is nothing."""
    rng = np.random.default_rng(1)
    right = (rng.random(60) < 0.6).astype(float)
    constants = np.empty((2, 60))
    for repeat in range(2):
        for test in np.array_split(rng.permutation(60), 5):
            constants[repeat, test] = np.delete(right, test).mean()
    found = reliability(constants, constants, right, FAST)
    assert found.ece_constant.value == pytest.approx(0.0, abs=1e-12)
    assert found.ece_constant.high > 0.05  # 60 tasks cannot show that it is that good
    assert found.brier_minus_constant.value == 0.0
    assert found.brier_minus_constant.low is None


def test_what_promises_too_much_is_told_from_what_does_not():
    good, bad = (reliability(*drawn(tasks=400, shift=shift), FAST) for shift in (0.0, 0.25))
    assert good.ece.value < 0.06 < 0.2 < bad.ece.value
    assert good.ece.low < good.ece_by_chance + 0.05
    assert bad.ece.low > bad.ece_by_chance
    assert good.brier_minus_constant.excludes(0) < 0


def test_chance_alone_makes_an_error():
    """The mean error of verdicts that come true exactly as often as was said; it shrinks with the number of tasks."""
    few, many = (reliability(*drawn(tasks=tasks, repeats=1), Resampling(100)).ece_by_chance for tasks in (40, 1000))
    assert 0.08 < few < 0.2
    assert 0.01 < many < 0.04
    rng = np.random.default_rng(5)
    p = rng.random((1, 50))
    errors = [reliability(p, p, (rng.random(50) < p[0]) * 1.0, Resampling(100)).ece.value for _ in range(25)]
    told = reliability(p, p, np.ones(50), FAST).ece_by_chance  # it does not look at the verdicts
    assert told == pytest.approx(np.mean(errors), abs=0.025)


def test_handing_over_the_least_sure_helps_where_they_are_wrong():
    p = np.tile(np.linspace(0.05, 0.95, 40), (2, 1))
    right = (p[0] > 0.5).astype(float)
    found = reliability(p, np.full_like(p, 0.5), right, FAST)
    assert found.at(0.5).accuracy.value == 1.0
    assert found.at(0.5).accuracy.low is None  # none of these is wrong: that is no proof that none ever will be
    assert found.at(1.0).accuracy.value == 0.5
    shares = [point.share for point in found.answered]
    assert shares == sorted(shares)
    assert found.at(0.33).share == pytest.approx(0.4)


def test_equal_probabilities_are_answered_together():
    p = np.array([[0.9] * 30 + [0.2] * 10])
    found = reliability(p, p, np.array([1.0] * 25 + [0.0] * 15), FAST)
    assert [(point.share, point.least) for point in found.answered] == [(0.75, 0.9), (1.0, 0.2)]
    assert len(found.bins) == 2
    assert found.at(0.1) == found.answered[0]
    assert len(SHARES) == len(set(SHARES))


def test_whole_tasks_are_resampled():
    """Dealing the tasks more often makes no more tasks: the intervals stay as wide."""
    p, c, y = drawn(repeats=1)
    once, often = reliability(p, c, y, FAST), reliability(np.tile(p, (20, 1)), np.tile(c, (20, 1)), y, FAST)
    for name in ("brier", "ece", "brier_minus_constant"):
        first, second = getattr(once, name), getattr(often, name)
        assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3), (4,)), ((2, 3), (3, 2), (3,)), ((3,), (3,), (3,)), ((0, 3), (0, 3), (3,))]
)
def test_shapes_that_do_not_go_together_are_refused(shapes):
    with pytest.raises(ConfigError, match="shapes"):
        reliability(*map(np.zeros, shapes), FAST)
