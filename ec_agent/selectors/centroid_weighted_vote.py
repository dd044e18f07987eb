"""Centroid-weighted vote: answers counted, each rollout for as much as its centroid is low."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import ENTROPY
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.validity import validity
from ec_agent.selectors.voting import VoteSelector
from ec_agent.support.checks import checked, number


@dataclass(frozen=True, slots=True)
class CentroidWeightedVote(VoteSelector):
    """Prefer the answer with the most weight; a rollout's vote weighs ``(1 - centroid) ** power``.

    ``1 - centroid`` is its reward (see ``ec_agent.reward``), in (0, 1]. A rollout without a centroid has no vote: no
    weight can be given to it that is not made up.

    Attributes:
        power: how much the centroid matters, at least 0. At 0 all votes are equal; the higher it is, the more the
            lowest centroid decides alone. At 1, centroids of .4 and .6 make votes of .6 and .4.

    Raises:
        ConfigError: ``power`` is not a number of at least 0, at most 100.
    """

    label: ClassVar[str] = "centroid_weighted_vote"
    signals: ClassVar[tuple[str, ...]] = (ENTROPY,)

    power: float = 1.0

    def __post_init__(self) -> None:
        VoteSelector.__post_init__(self)
        # Above 100 the votes of late centroids underflow to 0.
        checked(self, "power", number, "a number from 0 to 100", least=0, most=100)

    def weight(self, candidate: Candidate) -> float | None:
        """Its reward to the ``power``; ``None`` where there is no phase."""
        centroid = candidate.trajectory.centroid(candidate.config)
        return None if centroid is None else float((1.0 - centroid) ** self.power)

    def reason(self, candidate: Candidate) -> str:
        """Why it has no vote."""
        return "no_phases" if self.weight(candidate) is None else "no_vote"

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """What to know before trusting the order: the weights rest on centroids."""
        return validity(candidates, ENTROPY)
