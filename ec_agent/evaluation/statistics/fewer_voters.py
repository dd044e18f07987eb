"""The outcome of a vote in very many subsets of the voters at once. NumPy only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors import Ballot, VoteSelector
from ec_agent.selectors.voting import damping

MOST_VOTERS = 16
"""Up to so many all subsets are counted (65,536); beyond, a seeded draw of those of each size."""

Members = NDArray[np.bool_]


def vote_curve(
    vote: VoteSelector,
    ballots: Sequence[Ballot | None],
    ended: NDArray[np.bool_],
    correct: FloatArray,
    members: Members,
) -> FloatArray:
    """Expected accuracy of the vote's pick by the size of the electorate; ties that it does not break are averaged.

    It is what ``VoteSelector.count`` makes of each subset, to the last bit: scores are compared as it rounds them.

    Args:
        vote: how it is counted.
        ballots: of each of N rollouts; ``None`` for no vote.
        ended: shape ``(N,)``, whether it may be picked where nobody votes.
        correct: shape ``(N,)``, the verdicts.
        members: shape ``(S, N)``, who is in which subset; every size from 1 to N is among them.

    Returns:
        Shape ``(N,)``; entry ``n - 1`` is the mean over the subsets of n rollouts.
    """
    inside = np.ascontiguousarray(members.T)  # (N, S)
    votes = [(place, ballot) for place, ballot in enumerate(ballots) if ballot is not None]
    choices: dict[Hashable, list[tuple[int, Ballot]]] = {}
    for place, ballot in votes:
        choices.setdefault(ballot.answer, []).append((place, ballot))
    total = _sums(inside, votes) if vote.as_share else np.ones(len(members))
    damped = np.array([1.0, *(damping(count, vote.count_power) for count in range(1, len(ballots) + 1))])
    best, first = np.full(len(members), -np.inf), np.full(len(members), np.inf)
    right, many = np.zeros(len(members)), np.zeros(len(members))
    for voters in choices.values():
        places = [place for place, _ in voters]
        here = inside[places]
        size, there = here.sum(axis=0), here.any(axis=0)
        score = np.full(len(members), -np.inf)
        np.divide(_sums(inside, voters) / damped[size], total, out=score, where=there)
        breaks = np.array([np.inf if each.tie_break is None else each.tie_break for _, each in voters])
        lowest = np.where(here, breaks[:, np.newaxis], np.inf).min(axis=0)
        level = there & (score == best) & (lowest == first)
        better = (score > best) | ((score == best) & (lowest < first))
        solved = correct[places] @ here
        right = np.where(better, solved, right + level * solved)
        many = np.where(better, size, many + level * size)
        best, first = np.where(better, score, best), np.where(better, lowest, first)
    nobody = np.isneginf(best)
    if nobody.any():
        may = inside[:, nobody] & ended[:, np.newaxis]
        may = np.where(may.any(axis=0), may, inside[:, nobody])
        right[nobody], many[nobody] = correct @ may, may.sum(axis=0)
    sizes = members.sum(axis=1)
    return np.asarray(np.bincount(sizes, weights=right / many)[1:] / np.bincount(sizes)[1:])


def electorates(voters: int, most: int, seed: int) -> tuple[Members, bool]:
    """Subsets of every size from 1 to all, shape ``(S, voters)``, and whether they are all there are.

    Args:
        voters: how many there are.
        most: of a size with more subsets than this, so many are drawn; up to ``MOST_VOTERS`` voters, none is.
        seed: of the draw, which is the same in every task.
    """
    return (_all(voters), True) if voters <= MOST_VOTERS else (_drawn(voters, most, seed), False)


@lru_cache(maxsize=4)
def _all(voters: int) -> Members:
    numbers = np.arange(1, 2**voters)
    return (numbers[:, np.newaxis] >> np.arange(voters)) & 1 > 0


@lru_cache(maxsize=4)
def _drawn(voters: int, most: int, seed: int) -> Members:
    rng = np.random.default_rng(seed)
    of_size = []
    for n in range(1, voters + 1):
        if comb(voters, n) > most:
            of_size.append(rng.random((most, voters)).argsort(axis=1).argsort(axis=1) < n)
        else:
            places = np.array(list(combinations(range(voters), n)))
            of_size.append((places[:, :, np.newaxis] == np.arange(voters)).any(axis=1))
    return np.concatenate(of_size)


def _sums(inside: Members, votes: Sequence[tuple[int, Ballot]]) -> FloatArray:
    """The weights of those inside, added as ``math.fsum`` does: with what each addition rounds off kept beside."""
    high, low = np.zeros(inside.shape[1]), np.zeros(inside.shape[1])
    for place, ballot in votes:
        term = inside[place] * ballot.weight
        rounded = high + term
        part = rounded - high
        low += (high - (rounded - part)) + (term - part)
        high = rounded
    return high + low
