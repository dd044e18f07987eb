"""Majority vote, or self-consistency: the most frequent answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.base import Candidate
from ec_agent.selectors.voting import VoteSelector


@dataclass(frozen=True, slots=True)
class MajorityVote(VoteSelector):
    """Prefer the answer that most rollouts gave; every rollout has one vote. It needs no logprobs.

    It is the baseline to beat wherever answers can be counted; the entropy centroid does not claim to.

    Source: self-consistency, arXiv 2203.11171.
    """

    label: ClassVar[str] = "majority_vote"
    signals: ClassVar[tuple[str, ...]] = ()

    def weight(self, candidate: Candidate) -> float | None:
        """One rollout, one vote."""
        return 1.0
