"""Counting answers as ``MajorityVote`` does."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ec_agent.selectors.answers import Normalize, answer_of
from ec_agent.selectors.base import Candidate


def counted(candidates: Sequence[Candidate], normalize: Normalize) -> list[tuple[int, ...]]:
    """The rollouts of each answer, the most frequent answer first; of equal ones that which was seen first.

    Args:
        candidates: rollouts that ended, by index.
        normalize: what makes answers comparable.

    Returns:
        Indices, ascending, a tuple for each answer. Who has no vote is in none.

    Raises:
        ConfigError: ``normalize`` failed, or returned something unhashable.
    """
    votes: dict[Hashable, list[int]] = {}
    for candidate in candidates:
        answer = answer_of(candidate, normalize)
        if answer is not None:
            votes.setdefault(answer, []).append(candidate.index)
    return [tuple(voters) for voters in sorted(votes.values(), key=lambda voters: -len(voters))]
