from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from short_form import part_of
from stored_families import ByScore

from ec_agent import Call, Candidate, Ranking, Trajectory
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.fewer_rollouts import (
    MOST_SUBSETS,
    at_every_n,
    n_curve,
    pass_at_k,
    pass_hat_k,
    scores_stand_alone,
)
from ec_agent.evaluation.statistics.fewer_voters import MOST_VOTERS, electorates
from ec_agent.evaluation.statistics.standing import standing
from ec_agent.selectors import (
    CentroidWeightedVote,
    ConfidenceGradient,
    ConfidenceWeightedVote,
    MajorityVote,
    TailEntropy,
    TieBrokenVote,
)

BY_ACTION = ByScore("by_action", lambda c: c.final_action)


SCORES = [None, 0.0, 1.0, 2.0]


@st.composite
def tasks(draw, actions):
    row = st.tuples(st.sampled_from(actions), st.booleans(), st.integers(0, 4))
    rows = draw(st.lists(row, min_size=1, max_size=7))
    # One in five failed; a failed rollout is wrong.
    return TaskResult(
        "t",
        tuple(Candidate(i, Trajectory(), a, error=None if k else "x") for i, (a, _, k) in enumerate(rows)),
        np.array([float(right and k > 0) for _, right, k in rows]),
    )


def brute_force(result, selector, n):
    """The mean over all n-subsets of the mean verdict of those that share the best score, restated."""
    picks = []
    for places in combinations(range(len(result.candidates)), n):
        group = [result.candidates[place] for place in places]
        verdict = {c.index: v for c, v in zip(result.candidates, result.correct, strict=True)}
        ranking = selector.select(group)
        if ranking.order:
            first = ranking.order[0]
            best = ranking.scores.get(first)
            broken = ranking.tie_breaks.get(first)
            tied = [index for index in ranking.order if best is not None and ranking.scores[index] == best]
            chosen = [index for index in tied if ranking.tie_breaks.get(index) == broken] or [first]
        else:
            chosen = [c.index for c in group if c.error is None] or [c.index for c in group]
        picks.append(np.mean([verdict[index] for index in chosen]))
    return np.mean(picks)


@settings(max_examples=part_of(60), deadline=None)
@given(tasks(SCORES))
def test_accuracies_by_score_equal_those_over_all_subsets(result):
    whole = standing(result.candidates, BY_ACTION)
    assert scores_stand_alone(result.candidates, BY_ACTION, whole)
    curve, exact = n_curve(result, BY_ACTION, whole)
    assert exact
    slow = [brute_force(result, BY_ACTION, n) for n in range(1, len(result.candidates) + 1)]
    assert curve == pytest.approx(slow, abs=1e-12)


@settings(max_examples=part_of(60), deadline=None)
@given(tasks("abc"))
def test_accuracies_by_vote_equal_those_over_all_subsets(result):
    curve, exact = n_curve(result, MajorityVote(), standing(result.candidates, MajorityVote()))
    assert exact
    slow = [brute_force(result, MajorityVote(), n) for n in range(1, len(result.candidates) + 1)]
    assert curve == pytest.approx(slow, abs=1e-12)


@settings(max_examples=part_of(30), deadline=None)
@given(tasks("abc"), st.integers(0, 99))
def test_weighted_votes_equal_brute_force(result, seed):
    rng = np.random.default_rng(seed)
    group = tuple(replace(c, trajectory=Trajectory.from_entropies(rng.random(9))) for c in result.candidates)
    result = replace(result, candidates=group)
    selector = CentroidWeightedVote(power=3.0)
    curve, exact = n_curve(result, selector, standing(group, selector))
    assert exact
    slow = [brute_force(result, selector, n) for n in range(1, len(group) + 1)]
    assert curve == pytest.approx(slow, abs=1e-12)


def with_signals(result, seed, tokens):
    """The rollouts with drawn entropies and confidences, few different ones, so that much is tied; some have none."""
    rng = np.random.default_rng(seed)
    group = []
    for candidate in result.candidates:
        values = rng.choice([0.0, 0.5, 1.0, 3.0], tokens) * (np.nan if rng.random() < 0.2 else 1.0)
        call = Call(values, tokens=tokens, signals={"confidence": values[::-1]})
        group.append(replace(candidate, trajectory=Trajectory([call])))
    return replace(result, candidates=tuple(group), correct=result.correct)


@settings(max_examples=part_of(40), deadline=None)
@given(tasks("abc"), st.integers(0, 99), st.sampled_from([1, 3, 9]))
@pytest.mark.parametrize(
    "selector",
    [
        TieBrokenVote(),
        TieBrokenVote(ties="deepconf_mean"),
        ConfidenceWeightedVote(),
        ConfidenceGradient(),
        ConfidenceGradient(beta=-40, part=0.2, power=0.25),
        TailEntropy(least=1),
        TailEntropy(least=2, most=4),
    ],
    ids=lambda selector: selector.name,
)
def test_selectors_that_look_at_several_rollouts_equal_brute_force(selector, result, seed, tokens):
    result = with_signals(result, seed, tokens)
    curve, exact = n_curve(result, selector, standing(result.candidates, selector))
    assert exact
    slow = [brute_force(result, selector, n) for n in range(1, len(result.candidates) + 1)]
    assert curve == pytest.approx(slow, abs=1e-12)


def test_a_window_that_some_rollouts_together_change():
    ended = [None, "x", "x", None, None, "x"]
    result = TaskResult("t", tuple(Candidate(i, Trajectory(), "a", error=ended[-1 - i]) for i in range(6)), np.zeros(6))
    result = with_signals(replace(result, correct=np.array([0, 1.0, 0, 0, 0, 0])), 95, 9)
    selector = TailEntropy(least=2, most=4)
    whole = standing(result.candidates, selector)
    assert scores_stand_alone(result.candidates, selector, whole)  # each alone scores as among all of them
    slow = [brute_force(result, selector, n) for n in range(1, 7)]
    assert n_curve(result, selector, whole)[0] == pytest.approx(slow, abs=1e-12)
    assert slow != pytest.approx(list(at_every_n(whole.levels, result.correct)), abs=1e-3)


class Median:
    """Neither a score that stands alone nor a vote: the action in the middle of those at hand."""

    name, signals = "median", ()

    def select(self, candidates):
        middle = np.median([c.final_action for c in candidates])
        scores = {c.index: -abs(c.final_action - middle) for c in candidates}
        return Ranking(tuple(sorted(scores, key=lambda index: (-scores[index], index))), scores, {})


class MuteMedian(Median):
    """The same, and it does not tell its scores."""

    def select(self, candidates):
        return replace(super().select(candidates), scores={})


class NeedsCompany:
    """Scores that stand alone, of a selector that ranks three and more only."""

    name, signals = "needs_company", ()

    def select(self, candidates):
        ranking = BY_ACTION.select(candidates)
        return ranking if len(candidates) > 2 else replace(ranking, order=())


class InOrder(Median):
    """Meets the rollouts in index order, or else."""

    def select(self, candidates):
        assert [c.index for c in candidates] == sorted(c.index for c in candidates)
        return super().select(candidates)


@settings(max_examples=part_of(30), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=6))
@pytest.mark.parametrize("selector", [Median(), MuteMedian(), NeedsCompany()])
def test_any_other_selector_ranks_each_subset_anew(selector, rows):
    group = tuple(Candidate(i, Trajectory(), float(action)) for i, (action, _) in enumerate(rows))
    result = TaskResult("t", group, np.array([float(right) for _, right in rows]))
    curve, _ = n_curve(result, selector, standing(group, selector))
    assert curve == pytest.approx([brute_force(result, selector, n) for n in range(1, len(rows) + 1)], abs=1e-12)


def test_drawn_subsets_are_met_in_index_order():
    result = many(13)
    _, exact = n_curve(result, InOrder(), standing(result.candidates, InOrder()))
    assert not exact


def many(n, seed=0):
    rng = np.random.default_rng(seed)
    actions, right = rng.integers(0, 3, n), rng.random(n) < 0.5
    group = tuple(Candidate(i, Trajectory(), int(action)) for i, action in enumerate(actions))
    return TaskResult("t", group, right.astype(float))


def test_a_vote_does_not_stand_alone():
    result = many(8)
    assert not scores_stand_alone(result.candidates, MajorityVote(), standing(result.candidates, MajorityVote()))


def test_all_subsets_up_to_twelve_rollouts_a_seeded_draw_beyond():
    assert max(comb(12, n) for n in range(13)) == MOST_SUBSETS < max(comb(13, n) for n in range(14))
    result, selector = many(13), Median()
    whole = standing(result.candidates, selector)
    curve, exact = n_curve(result, selector, whole, seed=3)
    assert not exact
    again, _ = n_curve(result, selector, whole, seed=3)
    other, _ = n_curve(result, selector, whole, seed=4)
    assert curve.tolist() == again.tolist() != other.tolist()
    # Sizes with few subsets are exact even so, and a draw of 924 is near the truth.
    assert curve[1] == pytest.approx(brute_force(result, selector, 2))
    assert curve[5] == pytest.approx(brute_force(result, selector, 6), abs=5 * 0.5 / np.sqrt(MOST_SUBSETS))


def weighted(result, power):
    """Few tokens, so that centroids and sums of weights are often equal, or nearly: what ties depends on rounding."""
    rng = np.random.default_rng(len(result.candidates))
    timelines = [Trajectory.from_entropies(rng.integers(0, 3, 6) / 2) for _ in result.candidates]
    group = tuple(replace(c, trajectory=t) for c, t in zip(result.candidates, timelines, strict=True))
    return replace(result, candidates=group), CentroidWeightedVote(power=power)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_votes_of_many_are_what_a_count_of_each_subset_makes(power):
    for seed in range(2):
        result, selector = weighted(many(9, seed), power)
        curve, exact = n_curve(result, selector, standing(result.candidates, selector))
        assert exact
        sizes = (3, 7, 9)
        assert [curve[n - 1] for n in sizes] == pytest.approx(
            [brute_force(result, selector, n) for n in sizes], abs=1e-12
        )


def test_votes_are_exact_up_to_sixteen_rollouts_and_drawn_beyond():
    result = many(MOST_VOTERS)
    curve, exact = n_curve(result, MajorityVote(), standing(result.candidates, MajorityVote()))
    assert exact
    assert curve[[1, 13, 15]] == pytest.approx([brute_force(result, MajorityVote(), n) for n in (2, 14, 16)], abs=1e-12)

    result = many(MOST_VOTERS + 1)
    whole = standing(result.candidates, MajorityVote())
    curve, exact = n_curve(result, MajorityVote(), whole, seed=3)
    assert not exact
    assert curve[-1] == pytest.approx(whole.accuracy(result.correct))
    assert curve[13] == pytest.approx(brute_force(result, MajorityVote(), 14), abs=5 * 0.5 / np.sqrt(MOST_SUBSETS))
    other, _ = n_curve(result, MajorityVote(), whole, seed=4)
    assert curve.tolist() != other.tolist()


def test_a_draw_has_so_many_subsets_of_each_size_and_all_where_they_are_fewer():
    members, exact = electorates(20, 30, 0)
    assert not exact
    assert np.bincount(members.sum(axis=1)).tolist() == [0, 20, *[30] * 17, 20, 1]
    assert members[:20].any(axis=0).all()


def test_where_nobody_votes_any_that_ended_is_picked():
    group = tuple(Candidate(i, Trajectory(), None, error="x" if i == 2 else None) for i in range(3))
    result = TaskResult("t", group, np.array([1.0, 0.0, 0.0]))
    curve, _ = n_curve(result, MajorityVote(), standing(group, MajorityVote()))
    assert curve == pytest.approx([1 / 3, (0.5 + 1 + 0) / 3, 0.5])


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_pass_at_k_and_pass_hat_k_are_their_formulas(outcomes):
    right, total = sum(outcomes), len(outcomes)
    correct = np.array(outcomes, dtype=float)
    ks = range(1, total + 1)
    assert pass_at_k(correct) == pytest.approx([1 - comb(total - right, k) / comb(total, k) for k in ks])
    assert pass_hat_k(correct) == pytest.approx([comb(right, k) / comb(total, k) for k in ks])


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=7))
def test_graded_verdicts_have_the_expected_best_and_worst_of_k(grades):
    correct = np.array(grades)
    for k in range(1, len(grades) + 1):
        subsets = list(combinations(grades, k))
        assert pass_at_k(correct)[k - 1] == pytest.approx(np.mean([max(s) for s in subsets]))
        assert pass_hat_k(correct)[k - 1] == pytest.approx(np.mean([min(s) for s in subsets]))


def test_one_rollout_is_pass_1_and_all_of_them_the_pick_itself():
    correct = np.array([1.0, 0.0, 1.0, 0.0])
    curve = at_every_n(np.array([0, 0, 1, 2]), correct)
    assert curve[0] == pytest.approx(0.5)
    assert curve[-1] == pytest.approx(0.5)
    assert at_every_n(np.array([1, 2, 0, 3]), correct)[-1] == 1.0
