from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_families import ByScore

from ec_agent import Call, Candidate, HEPConfig, LowestCentroid, Trajectory
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling, summarise
from ec_agent.evaluation.statistics.bootstrap import Estimate
from ec_agent.evaluation.statistics.confounds import PANEL, Chance, Confounds, suspicions
from ec_agent.evaluation.statistics.prefix import common_prefix, cut
from ec_agent.evaluation.statistics.standing import standing
from ec_agent.selectors import Selector

FAST = Resampling(resamples=999)
PEAK = {"peak": LowestCentroid()}


def rollout(index, calls, rng, peak, call_tokens=20):
    """A rollout of so many calls with one high token, at ``peak``: the centroid is that place over the length."""
    entropies = rng.uniform(0.01, 0.1, calls * call_tokens)
    entropies[peak] = 3.0
    return Candidate(index, Trajectory([Call(part) for part in np.split(entropies, calls)]))


def stopping_early_is_right(tasks=60, n=8):
    """The high token is early whatever happens; a rollout is right mostly where it went on for long."""
    rng = np.random.default_rng(11)
    for task in range(tasks):
        calls = rng.integers(2, 6, n)
        right = rng.random(n) < np.where(calls > 3, 0.85, 0.15)
        group = tuple(rollout(i, int(c), rng, int(rng.integers(4, 10))) for i, c in enumerate(calls))
        yield TaskResult(f"t{task}", group, right.astype(float))


def an_early_peak_is_right(tasks=60, n=8):
    """All rollouts have equal lengths; those with an early high token are mostly right."""
    rng = np.random.default_rng(12)
    for task in range(tasks):
        peaks = rng.integers(0, 60, n)
        right = rng.random(n) < np.where(peaks < 30, 0.85, 0.15)
        group = tuple(rollout(i, 3, rng, int(peak)) for i, peak in enumerate(peaks))
        yield TaskResult(f"t{task}", group, right.astype(float))


def test_a_centroid_that_only_knows_when_the_rollout_stopped_is_confounded():
    summary = summarise(list(stopping_early_is_right()), PEAK, resampling=FAST)
    (row,) = summary.selectors
    assert row.difference.excludes(0) == 1  # it looks very good
    assert row.confounds.with_calls > 0.7
    assert row.auroc.excludes(0.5) == 1
    assert row.confounds.equal_calls.excludes(0.5) == 0
    assert row.confounds.prefix.excludes(0.5) == 0
    assert 0 < row.confounds.equal_call_pairs < 0.5
    assert row.verdict.kind == "confounded"
    for reason in ("most calls alone gives", "longest alone gives", "among rollouts with equally many calls"):
        assert reason in row.verdict.sentence


def test_a_centroid_that_knows_something_at_equal_lengths_is_not():
    (row,) = summarise(list(an_early_peak_is_right()), PEAK, resampling=FAST).selectors
    assert row.verdict.kind == "better"
    assert row.confounds.with_calls is None
    assert row.confounds.equal_call_pairs == 1.0
    assert row.confounds.equal_calls == row.confounds.prefix == row.auroc


def test_the_panel_is_not_judged_and_does_not_count_as_compared():
    summary = summarise(list(stopping_early_is_right(20)), PEAK, resampling=FAST)
    assert [row.name for row in summary.panel] == list(PANEL)
    assert all(row.corrected_p is None and row.verdict is None for row in summary.panel)
    assert summary.comparisons == 1
    assert summary.selectors[0].corrected_p == summary.selectors[0].p


def test_the_panel_picks_by_length():
    rng = np.random.default_rng(0)
    group = [rollout(i, calls, rng, 0, tokens) for i, (calls, tokens) in enumerate([(2, 9), (1, 30), (3, 5)])]
    failed = Candidate(3, Trajectory(), error="boom")
    picks = {name: standing([*group, failed], selector).picked for name, selector in PANEL.items()}
    assert picks == {"fewest_calls": (1,), "most_calls": (2,), "shortest": (2,), "longest": (1,)}
    assert all(isinstance(selector, Selector) for selector in PANEL.values())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 25))
def test_a_cut_keeps_the_first_tokens_of_every_signal(sizes, tokens):
    start, calls = 0, []
    for size in sizes:
        values = np.arange(start, start + size, dtype=float)
        texts = tuple(map(str, range(start, start + size)))
        calls.append(Call(values, signals={"logprob": -values}, texts=texts, node="agent"))
        start += size
    kept = cut(Trajectory(calls), tokens)
    expected = list(range(min(tokens, start)))
    assert kept.entropies.tolist() == expected
    assert (-kept.signal("logprob") if expected else np.empty(0)).tolist() == expected
    assert [text for call in kept.calls for text in call.texts] == [str(number) for number in expected]
    assert len(kept) == len(expected)


def test_gaps_are_tokens_too():
    trajectory = Trajectory([Call(np.array([1.0, np.nan]), tokens=4), Call(np.array([2.0]))])
    assert len(cut(trajectory, 3)) == 3
    assert cut(trajectory, 3).scored_tokens == 1
    assert cut(trajectory, 9).entropies.tolist()[4:] == [2.0]


def test_the_common_prefix_is_the_shortest_eligible_one():
    lengths = [(5, {}), (3, {}), (1, {"error": "boom"}), (2, {"unscored": "coverage"}), (0, {})]
    group = [Candidate(i, Trajectory.from_entropies([0.5] * n), **kind) for i, (n, kind) in enumerate(lengths)]
    cutted, shortest = common_prefix(group)
    assert shortest == 3
    assert [len(c.trajectory) for c in cutted] == [3, 3, 1, 2, 0]
    assert common_prefix([group[2]]) == ((group[2],), 0)


def test_the_prefix_is_scored_with_each_candidates_own_settings():
    rng = np.random.default_rng(1)
    group = [Candidate(0, rollout(0, 2, rng, 3).trajectory, config=HEPConfig(5, 50, 3))]
    assert common_prefix(group)[0][0].config == HEPConfig(5, 50, 3)


def test_a_selector_without_signals_has_no_prefix():
    selector = ByScore("by_index", lambda c: float(c.index), signals=())
    (row,) = summarise(list(an_early_peak_is_right(5)), {"by_index": selector}, resampling=FAST).selectors
    assert row.confounds.prefix is None


GOOD, SMALL, NONE, BAD = (
    Estimate(0.2, 0.1, 0.3, 50),
    Estimate(0.05, 0.01, 0.1, 50),
    Estimate(0.0, -0.1, 0.1, 50),
    Estimate(-0.2, -0.3, -0.1, 50),
)
UNSURE = Estimate(0.2, -0.1, 0.5, 50)
HIGH, COIN = Estimate(0.8, 0.7, 0.9, 50), Estimate(0.5, 0.4, 0.6, 50)
CLEAR = Chance(NONE, GOOD)


def found(with_tokens=0.0, with_calls=0.0, equal=HIGH, pairs=0.5):
    return Confounds(with_tokens, with_calls, equal, pairs, None)


@pytest.mark.parametrize(
    ("confounds", "panel", "suspected"),
    [
        (found(), {"longest": GOOD}, False),  # the orders are not alike
        (found(with_tokens=0.6), {"longest": GOOD}, True),
        (found(with_tokens=0.6), {"shortest": GOOD}, False),  # alike, but with the other end
        (found(with_tokens=-0.6), {"shortest": GOOD}, True),
        (found(with_calls=-0.6), {"fewest_calls": GOOD}, True),
        (found(with_calls=0.6), {"most_calls": GOOD}, True),
        (found(with_calls=0.6), {"most_calls": SMALL}, False),  # explains less than half
        (found(with_calls=0.6), {"most_calls": NONE}, False),
        (found(with_calls=0.6), {"most_calls": BAD}, False),
        (found(with_calls=0.6), {"most_calls": UNSURE}, False),
        (found(with_calls=0.4), {"most_calls": GOOD}, False),
        (found(equal=COIN), {}, True),
        (found(equal=COIN, pairs=1.0), {}, False),
        (found(equal=COIN, pairs=None), {}, False),
        (found(equal=Estimate(0.66, 0.45, 0.9, 4)), {}, False),  # fewer pairs, but more than half is left
        (found(equal=Estimate(None, None, None, 0), pairs=0.0), {}, True),
    ],
)
def test_what_makes_a_difference_suspect(confounds, panel, suspected):
    assert bool(suspicions(GOOD, CLEAR, HIGH, confounds, panel)) is suspected


@pytest.mark.parametrize(
    ("difference", "chance", "suspected"),
    [
        (BAD, Chance(BAD, NONE), True),
        (BAD, Chance(BAD, BAD), False),  # worse than chance even so
        (BAD, Chance(NONE, BAD), False),
        (GOOD, Chance(BAD, GOOD), False),
        (GOOD, Chance(GOOD, NONE), True),  # passes over failures, and that is all
        (GOOD, Chance(SMALL, NONE), False),
    ],
)
def test_what_ties_and_failures_alone_explain(difference, chance, suspected):
    assert bool(suspicions(difference, chance, COIN, found(), {})) is suspected


def test_passing_over_failures_alone_is_confounded():
    rng = np.random.default_rng(3)
    results = []
    for task in range(40):
        failed = rng.random(6) < 0.5
        group = tuple(
            Candidate(i, Trajectory(), float(rng.random()), error="boom" if f else None) for i, f in enumerate(failed)
        )
        results.append(TaskResult(f"t{task}", group, np.where(failed, 0.0, rng.random(6) < 0.8)))
    selector = ByScore("noise", lambda c: c.final_action, signals=())
    summary = summarise(results, {"noise": selector}, resampling=FAST)
    (row,) = summary.selectors
    assert row.difference.excludes(0) == 1
    assert row.verdict.kind == "confounded"
    assert summary.pass_1_ended.value > summary.pass_1.value + 0.2
