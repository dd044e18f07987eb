"""Majority vote, also called self-consistency: the most frequent answer wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.voting import VoteSelector


@dataclass(frozen=True, slots=True)
class MajorityVote(VoteSelector):
    """Prefer the answer that most rollouts gave. Each rollout has one vote. It needs no logprobs.

    It is the baseline to beat if answers can be counted. Nobody claims that the entropy centroid beats it.

    Source: self-consistency, arXiv 2203.11171.
    """

    label: ClassVar[str] = "majority_vote"
    signals = reads()

    def weight(self, candidate: Candidate) -> float | None:
        """Return 1: all rollouts have the same weight."""
        return 1.0
