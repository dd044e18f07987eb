from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from stored_families import TABLE, ByScore, stored

from ec_agent import Candidate, Trajectory
from ec_agent.errors import ConfigError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling, summarise
from ec_agent.selectors import MajorityVote, MeanEntropy, MeanLogprob

FAST = Resampling(resamples=199)
BY_ACTION = ByScore("by_action", lambda c: c.final_action, signals=())


def task(name, scores, correct, greedy=None, failed=()):
    group = tuple(Candidate(i, Trajectory(), s, error="boom" if i in failed else None) for i, s in enumerate(scores))
    return TaskResult(name, group, np.array(correct, dtype=float), greedy)


def permuted(results, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(results))
    return [
        replace(result, correct=rng.permutation(results[other].correct), greedy=float(rng.random()))
        for result, other in zip(results, order, strict=True)
    ]


@pytest.mark.parametrize("family", ["red2", "bfcl"])
def test_permuted_outcomes_select_the_same_rollouts(family):
    results = stored(family)[:20]
    told, lied = (summarise(each, TABLE, resampling=FAST) for each in (results, permuted(results, 7)))
    assert [row.picked for row in told.selectors] == [row.picked for row in lied.selectors]
    assert [row.picked for row in told.panel] == [row.picked for row in lied.panel]
    # The verdicts did change: it was another evaluation of the same picks.
    assert told.selectors[0].accuracy != lied.selectors[0].accuracy
    assert [row.confounds.with_tokens for row in told.selectors] == [
        row.confounds.with_tokens for row in lied.selectors
    ]


def test_a_selector_is_handed_candidates_and_nothing_else():
    seen = []

    class Nosy:
        name, signals = "nosy", ()

        def select(self, *args, **kwargs):
            seen.append((args, kwargs))
            return BY_ACTION.select(*args)

    summarise([task("a", [0.1, 0.2], [1, 0]), task("b", [0.3, 0.2], [0, 1])], {"nosy": Nosy()}, resampling=FAST)
    assert seen
    for args, kwargs in seen:
        assert not kwargs
        (group,) = args
        assert all(type(each) is Candidate for each in group)


def test_the_numbers_of_a_small_evaluation_by_hand():
    results = [
        task("a", [3.0, 1.0, 1.0, 2.0], [1, 0, 0, 0], greedy=1.0),
        task("b", [1.0, 1.0, 0.0, None], [1, 0, 1, 1], greedy=0.0),
        task("c", [None, None, None, None], [1, 1, 0, 0], failed=[3]),
    ]
    summary = summarise(results, {"s": BY_ACTION, "votes": MajorityVote()}, resampling=FAST)
    assert summary.tasks == ("a", "b", "c")
    assert (summary.n, summary.n_most, summary.comparisons) == (4, 4, 2)
    assert summary.pass_1.value == pytest.approx((1 / 4 + 3 / 4 + 2 / 4) / 3)
    assert summary.pass_1_ended.value == pytest.approx((1 / 4 + 3 / 4 + 2 / 3) / 3)
    assert summary.oracle.value == 1.0
    assert summary.greedy.value == 0.5
    assert summary.greedy.tasks == 2
    assert summary.greedy_difference.value == pytest.approx((3 / 4 - 3 / 4) / 2)
    row = summary.selectors[0]
    assert row.picked == ((0,), (0, 1), (0, 1, 2))
    assert row.by_task == pytest.approx((1, 1 / 2, 2 / 3))
    assert summary.by_task == (1 / 4, 3 / 4, 2 / 4)
    assert row.accuracy.value == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
    assert row.difference.value == pytest.approx(row.accuracy.value - summary.pass_1.value)
    assert row.fell_back == 1
    assert row.auroc.tasks == 2
    assert row.auroc.value == pytest.approx((1 + (1 / 2 + 0) / 2) / 2)
    assert row.curve.accuracy[0] == pytest.approx(summary.pass_1.value)
    assert row.curve.accuracy[-1] == pytest.approx(row.accuracy.value)


def test_tasks_with_unequal_numbers_of_rollouts_share_the_curve_up_to_the_fewest():
    summary = summarise(
        [task("a", [1.0, 2.0, 3.0], [1, 0, 0]), task("b", [1.0, 2.0], [1, 0])], {"s": BY_ACTION}, resampling=FAST
    )
    assert (summary.n, summary.n_most) == (2, 3)
    assert len(summary.selectors[0].curve.accuracy) == len(summary.pass_at_k) == 2


def test_tasks_with_a_warning_are_counted_for_each_selector():
    class Warner:
        name, signals = "warns", ()

        def select(self, candidates):
            said = ("short", "few phases") if candidates[0].final_action else ()
            return replace(BY_ACTION.select(candidates), warnings=said)

    summary = summarise([task("a", [1.0], [1]), task("b", [0.0], [1])], {"w": Warner()}, resampling=FAST)
    assert (summary.selectors[0].warned, summary.selectors[0].warnings) == (1, 2)


def test_it_is_plain_json_and_the_same_again():
    results = stored("bfcl")[:12]
    plain = summarise(results, TABLE, resampling=FAST).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain == summarise(results, TABLE, resampling=FAST).to_dict()
    assert plain["resampling"] == {"resamples": 199, "seed": 0, "confidence": 0.95}


def test_selectors_that_rank_alike_are_one_comparison():
    """Three names for one order, and another order: two comparisons, as if the twins were not there."""
    results = list(stored("red2")[:30])
    twins = {f"twin {place}": MeanLogprob() for place in range(3)}
    both = summarise(results, {**twins, "entropy": MeanEntropy()}, resampling=FAST)
    alone = summarise(results, {"twin 0": MeanLogprob(), "entropy": MeanEntropy()}, resampling=FAST)
    assert (both.comparisons, both.alike) == (2, (tuple(twins),))
    assert (alone.comparisons, alone.alike) == (2, ())
    assert {row.corrected_p for row in both.selectors[:3]} == {alone.selectors[0].corrected_p}
    assert both.selectors[3].corrected_p == alone.selectors[1].corrected_p
    assert "2 selectors compared" in both.selectors[0].verdict.sentence


def test_a_single_tie_makes_another_comparison():
    scores = {"s": BY_ACTION, "nearly": ByScore("nearly", lambda c: max(c.final_action, 1.5))}
    two = summarise([task("a", [3.0, 1.0, 2.0], [1, 0, 0]), task("b", [1.0, 2.0], [1, 0])], scores, resampling=FAST)
    assert (two.comparisons, two.alike) == (1, (("s", "nearly"),))
    three = summarise([task("a", [3.0, 1.0, 1.2], [1, 0, 0])], scores, resampling=FAST)
    assert (three.comparisons, three.alike) == (2, ())


def test_rounding_is_no_difference():
    """Three verdicts of .1 have a mean above .1: a pick among them is not worse, and not significantly so either."""
    results = [task(f"t{place}", [1.0, 2.0, 3.0], [(0.1, 0.7)[place % 2]] * 3) for place in range(20)]
    assert (np.array([0.1] * 3).mean(), np.array([0.7] * 3).mean()) != (0.1, 0.7)
    (row,) = summarise(results, {"s": BY_ACTION}, resampling=FAST).selectors
    assert (row.difference.value, row.difference.low, row.p, row.detectable) == (0.0, None, 1.0, None)
    assert row.verdict.kind == "cannot be told"
    assert all(each.low is None for each in (row.chance.difference, row.chance.left, *row.curve.difference))


def test_one_task_and_no_selectors():
    summary = summarise([task("a", [1.0, 2.0], [1, 0])], {}, resampling=FAST)
    assert summary.selectors == ()
    assert summary.pass_1.low is None
    one = summarise([task("a", [1.0, 2.0], [1, 0])], {"s": BY_ACTION}, resampling=FAST).selectors[0]
    assert one.verdict.kind == "cannot be told"
    json.dumps(summary.to_dict(), allow_nan=False)


def test_a_summary_is_frozen():
    summary = summarise([task("a", [1.0], [1])], {}, resampling=FAST)
    with pytest.raises(FrozenInstanceError):
        summary.n = 9


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "give one task or more"),
        ([task("a", [1.0], [1]), task("a", [1.0], [1])], "each with its own id"),
        ([TaskResult("a", (), np.empty(0))], "'a' has no rollouts; run it"),
    ],
)
def test_results_that_cannot_be_summarised_are_refused(results, message):
    with pytest.raises(ConfigError, match=message):
        summarise(results, {"s": BY_ACTION}, resampling=FAST)


def test_scipy_is_imported_when_an_interval_is_drawn_and_not_before():
    code = "import sys, ec_agent.evaluation.statistics; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
