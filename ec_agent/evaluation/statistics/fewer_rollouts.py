"""Accuracy with fewer rollouts, from those that are there: exact, by combinatorics or by going through all subsets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.fewer_voters import electorates, vote_curve
from ec_agent.evaluation.statistics.standing import IntArray, Standing, standing
from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors import Candidate, Selector, TailEntropy, VoteSelector
from ec_agent.selectors.scoring import ScoreSelector

MOST_SUBSETS = 924
"""So many subsets of one size are ranked anew: all of them up to N = 12 (12 over 6), a sample of them beyond."""


def at_every_n(levels: IntArray, correct: FloatArray) -> FloatArray:
    """Expected accuracy of the pick from a random n-subset, for n = 1 to N, ties averaged: exact.

    The best level among n rollouts is ``l`` in ``C(l or worse, n) - C(worse than l, n)`` of the ``C(N, n)`` subsets,
    and by symmetry its tied rollouts are on average as right as their whole level.

    Args:
        levels: shape ``(N,)``, the lower the better; equal where tied.
        correct: shape ``(N,)``, the verdicts.

    Returns:
        Shape ``(N,)``; entry ``n - 1`` is for n rollouts.
    """
    total = len(levels)
    expected = np.zeros(total)
    for level in np.unique(levels):
        mean = correct[levels == level].mean()
        here, worse = int((levels >= level).sum()), int((levels > level).sum())
        share = [(comb(here, n) - comb(worse, n)) / comb(total, n) for n in range(1, total + 1)]
        expected += mean * np.array(share)
    return expected


def pass_at_k(correct: FloatArray) -> FloatArray:
    """Unbiased pass@k for k = 1 to N, shape ``(N,)``: ``1 - C(N - c, k) / C(N, k)`` where c of N are right.

    For graded verdicts it is the expected best of k.
    """
    return at_every_n(-np.unique(correct, return_inverse=True)[1], correct)


def pass_hat_k(correct: FloatArray) -> FloatArray:
    """Unbiased pass^k for k = 1 to N, shape ``(N,)``: the chance that k of k are right, ``C(c, k) / C(N, k)``.

    For graded verdicts it is the expected worst of k.
    """
    return at_every_n(np.unique(correct, return_inverse=True)[1], correct)


def scores_stand_alone(candidates: Sequence[Candidate], selector: Selector, whole: Standing) -> bool:
    """Whether a rollout's score is its own: the same alone and among its siblings, for each of them.

    A mean over tokens is; a count of votes is not, unless no two rollouts agree, and then it does not matter. Of a
    selector that ranks without scores nobody can tell.
    """
    if getattr(type(selector), "select", None) is ScoreSelector.select:
        return True  # by its class's promise; asking each rollout alone would repeat all its validity warnings
    if np.isnan(whole.scores[whole.ranked]).any():
        return False
    alone = [standing([candidate], selector) for candidate in candidates]
    scores = np.array([one.scores[0] for one in alone])
    ranked = np.array([one.ranked[0] for one in alone])
    return bool(np.array_equal(scores, whole.scores, equal_nan=True) and np.array_equal(ranked, whole.ranked))


def n_curve(result: TaskResult, selector: Selector, whole: Standing, seed: int = 0) -> tuple[FloatArray, bool]:
    """One task's expected accuracy from n rollouts, for n = 1 to N.

    Scores that stand alone are sub-sampled by combinatorics; votes are counted in all subsets at once (see
    ``fewer_voters``). Other selectors rank each subset anew; of more than ``MOST_SUBSETS`` of one size, so many are
    drawn, and so are those of votes by more than ``MOST_VOTERS``.

    Args:
        result: the task's rollouts.
        selector: the selector.
        whole: its standing of all N.
        seed: seed of that draw.

    Returns:
        Shape ``(N,)``, and whether it is exact.
    """
    if isinstance(selector, VoteSelector):
        return _of_votes(result, selector, seed)
    if isinstance(selector, TailEntropy):  # its window may be the same alone and among all, and another among some
        selector = selector.prepared(result.candidates)
    elif scores_stand_alone(result.candidates, selector, whole):
        return at_every_n(whole.levels, result.correct), True
    total = len(result.candidates)
    curve = np.empty(total)
    rng = np.random.default_rng(seed)
    exact = True
    for n in range(1, total):
        subsets, all_of_them = _subsets(total, n, rng)
        exact &= all_of_them
        curve[n - 1] = np.mean([_of_subset(result, selector, places) for places in subsets])
    curve[total - 1] = whole.accuracy(result.correct)
    return curve, exact


def _of_votes(result: TaskResult, selector: VoteSelector, seed: int) -> tuple[FloatArray, bool]:
    """A rollout votes alike in every subset it is in, so each ballot is drawn up once."""
    votes = {candidate.index: selector.ballot(candidate) for candidate in selector.entrants(result.candidates)}
    members, exact = electorates(len(result.candidates), MOST_SUBSETS, seed)
    ballots = [votes.get(candidate.index) for candidate in result.candidates]
    ended = np.array([candidate.error is None for candidate in result.candidates])
    return vote_curve(selector, ballots, ended, result.correct, members), exact


def _of_subset(result: TaskResult, selector: Selector, places: Sequence[int]) -> float:
    chosen = standing([result.candidates[place] for place in places], selector)
    return chosen.accuracy(result.correct[list(places)])


def _subsets(total: int, n: int, rng: np.random.Generator) -> tuple[list[tuple[int, ...]], bool]:
    if comb(total, n) <= MOST_SUBSETS:
        return list(combinations(range(total), n)), True
    # In index order: a selector that prefers the first seen must meet them as they came.
    draws = [tuple(sorted(rng.choice(total, n, replace=False).tolist())) for _ in range(MOST_SUBSETS)]
    return draws, False
