from __future__ import annotations

import re
import sys
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.wording import FEW_MIXED
from ec_agent.evaluation.statistics.bootstrap import (
    Estimate,
    Resampling,
    estimate,
    estimates,
    holm,
    paired_p,
    smallest_detectable,
)
from ec_agent.support.extras import installing

FAST = Resampling(resamples=999)


def differences(rng, tasks, gain):
    """Paired differences as an evaluation has them: a pick's verdict minus the mean of its 8 siblings."""
    ease = rng.beta(1, 1, tasks)
    mean = rng.binomial(8, ease) / 8
    pick = rng.random(tasks) < np.clip(ease + gain, 0, 1)
    return pick - mean


@pytest.mark.parametrize("tasks", [20, 60])
def test_intervals_cover_the_truth_about_as_often_as_they_say(tasks):
    rng = np.random.default_rng(20260)
    truth = differences(rng, 400_000, 0.1).mean()
    runs = 500
    rows = np.array([differences(rng, tasks, 0.1) for _ in range(runs)])
    found = estimates(rows, FAST)
    covered = np.mean([one.low <= truth <= one.high for one in found])
    # Four standard errors of a share of 500 below .95, and a little for the few tasks; never much too wide either.
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / runs) - 0.01 <= covered <= 0.985
    ends = np.mean([one.high < truth for one in found]), np.mean([one.low > truth for one in found])
    assert max(ends) < 0.07


def test_tasks_are_resampled_whole():
    # Eight copies of one verdict are one piece of evidence: the interval over tasks is as wide as with one copy.
    verdicts = np.random.default_rng(1).random(40) < 0.5
    of_tasks = estimate(np.repeat(verdicts[:, None], 8, axis=1).mean(axis=1), FAST)
    assert of_tasks == estimate(verdicts.astype(float), FAST)
    assert of_tasks.high - of_tasks.low > 0.25


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(2)
    ease = rng.random(100)
    ours, theirs = ease + 0.05 + 0.01 * rng.random(100), ease
    paired = estimate(ours - theirs, FAST)
    assert paired.high - paired.low < 0.01
    assert paired.excludes(0) == 1


def test_the_seed_alone_decides_the_interval():
    values = np.random.default_rng(3).random(30)
    assert estimate(values, FAST) == estimate(values, FAST)
    assert estimate(values, FAST) != estimate(values, Resampling(999, seed=1))
    assert paired_p(values, values[::-1], FAST) == paired_p(values, values[::-1], FAST)


def test_rows_do_not_touch_each_other():
    values = np.random.default_rng(4).random((5, 30))
    for row, together in zip(values, estimates(values, FAST), strict=True):
        alone = estimate(row, FAST)
        assert (together.value, together.low, together.high) == pytest.approx((alone.value, alone.low, alone.high))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Estimate(None, None, None, 0)),
        ([None, None], Estimate(None, None, None, 0)),
        ([0.5], Estimate(0.5, None, None, 1)),
        ([0.5, 0.5, None], Estimate(0.5, None, None, 2)),
    ],
)
def test_no_spread_is_no_interval(values, expected):
    assert estimate(values, FAST) == expected


def test_tasks_without_the_quantity_are_left_out():
    assert estimate([1.0, None, 0.0, float("nan")], FAST).tasks == 2
    assert estimate([1.0, None, 0.0, float("nan")], FAST).value == 0.5


def test_an_interval_says_on_which_side_of_a_value_it_lies():
    assert Estimate(0.2, 0.1, 0.3, 9).excludes(0) == 1
    assert Estimate(0.2, 0.1, 0.3, 9).excludes(0.2) == 0
    assert Estimate(0.2, 0.1, 0.3, 9).excludes(0.5) == -1
    assert Estimate(0.2, None, None, 1).excludes(0) == 0


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=8))
def test_few_tasks_have_the_exact_p(moves):
    sums = [abs(sum(s * m for s, m in zip(signs, moves, strict=True))) for signs in product([1, -1], repeat=len(moves))]
    slow = np.mean([one >= abs(sum(moves)) - 1e-12 for one in sums])
    assert paired_p(np.array(moves), np.zeros(len(moves)), FAST) == pytest.approx(slow)


def test_three_tasks_that_all_improved_are_little_evidence():
    assert paired_p(np.ones(3), np.zeros(3), FAST) == 0.25


def test_p_without_a_difference_and_without_tasks():
    assert paired_p(np.ones(5), np.ones(5), FAST) == 1.0
    assert paired_p(np.ones(1), np.zeros(1), FAST) == 1.0
    assert paired_p(np.array([0.5, 0.7]), np.array([0.5, 0.2]), FAST) == 1.0
    assert paired_p(np.empty(0), np.empty(0), FAST) == 1.0


def test_p_values_are_small_where_there_is_nothing_as_often_as_they_say():
    rng = np.random.default_rng(5)
    gain, runs = 0.0, 400
    false = 0
    for _ in range(runs):
        found = differences(rng, 30, gain)
        false += paired_p(found, np.zeros(30), Resampling(199)) < 0.05
    assert 0.01 <= false / runs <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / runs)


def test_from_few_mixed_tasks_intervals_and_p_values_promise_too_much():
    """What a report says of fewer than ``FEW_MIXED``: a pick at random among 8, on tasks most of which are too hard."""
    rng = np.random.default_rng(20261)
    right = rng.random((800, 30, 8)) < rng.beta(0.3, 3, (800, 30, 1))
    few = (right.any(axis=2) & ~right.all(axis=2)).sum(axis=1) < FEW_MIXED
    rows = right[:, :, 0] - right.mean(axis=2)
    held = np.array([one.low is not None and one.low <= 0 <= one.high for one in estimates(rows, FAST)])
    assert 0.75 <= held[few].mean() <= 0.85
    assert held[~few].mean() >= 0.88
    false = np.mean([paired_p(row, np.zeros(30), Resampling(199)) < 0.05 for row in rows[few][:300]])
    assert false <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 300)


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_closed_testing_by_bonferroni(p_values):
    everyone = range(len(p_values))
    slow = [
        max(
            min(1.0, size * min(p_values[j] for j in group))
            for size in range(1, len(p_values) + 1)
            for group in combinations(everyone, size)
            if i in group
        )
        for i in everyone
    ]
    assert holm(p_values) == pytest.approx(slow)


def test_the_smallest_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.3, (4000, 40))
    size = smallest_detectable(noise[0] / noise[0].std(ddof=1) * 0.3)
    rows = noise + size
    t = rows.mean(axis=1) / (rows.std(axis=1, ddof=1) / np.sqrt(40))
    assert np.mean(np.abs(t) > 2.0227) == pytest.approx(0.8, abs=0.03)  # 2.0227: t of 39 degrees, two-sided 5 %


@pytest.mark.parametrize("tasks", range(2, 9))
def test_what_no_test_can_find_is_not_called_detectable(tasks):
    largest = paired_p(np.ones(tasks), np.zeros(tasks), FAST)
    found = smallest_detectable(np.linspace(0.1, 0.2, tasks))
    assert (found is not None) == (largest < 0.05) == (tasks >= 6)


def test_accuracies_are_no_further_apart_than_1():
    apart = np.array([1.0, -1.0] * 3)
    assert smallest_detectable(apart) is None
    assert smallest_detectable(apart / 2) == pytest.approx(0.78, abs=0.05)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5, 0.5]])
def test_without_spread_there_is_no_smallest_detectable_difference(values):
    assert smallest_detectable(np.array(values)) is None


@pytest.mark.parametrize("wrong", [{"resamples": 99}, {"seed": -1}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_too_few_resamples_are_refused(wrong):
    with pytest.raises(ConfigError, match="give at least 100 resamples"):
        Resampling(**wrong)


def test_without_scipy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ConfigError, match=re.escape(f"run: {installing('ec-agent[eval]')}")):
        estimate([0.0, 1.0], FAST)
