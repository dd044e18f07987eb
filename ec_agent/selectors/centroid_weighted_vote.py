"""Centroid-weighted vote: equal answers are counted, and a rollout with a low centroid has more weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import ENTROPY
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.voting import SignalWeightedVote
from ec_agent.support.checks import checked, number


@dataclass(frozen=True, slots=True)
class CentroidWeightedVote(SignalWeightedVote):
    """Prefer the answer with the most weight. The vote of a rollout has the weight ``(1 - centroid) ** power``.

    ``1 - centroid`` is the reward of the rollout (see ``ec_agent.reward``), in (0, 1]. A rollout without a centroid has
    no vote, because any weight for it would be made up.

    Attributes:
        power: how much the centroid matters, from 0 to 100. At 0 all votes are equal. At 1, centroids of 0.4 and 0.6
            give weights of 0.6 and 0.4. At large values, the rollout with the lowest centroid decides alone.

    Raises:
        ConfigError: ``power`` is not a number from 0 to 100.
    """

    label: ClassVar[str] = "centroid_weighted_vote"
    signals = reads(ENTROPY)
    unscored_reason: ClassVar[str] = "no_phases"
    of_phases: ClassVar[bool] = True

    power: float = 1.0

    def __post_init__(self) -> None:
        SignalWeightedVote.__post_init__(self)
        # Above 100, the weights of rollouts with a high centroid underflow to 0.
        checked(self, "power", number, "a number from 0 to 100", least=0, most=100)

    def weight(self, candidate: Candidate) -> float | None:
        """Return the reward raised to ``power``, or ``None`` if the rollout has no phase."""
        centroid = candidate.trajectory.centroid(candidate.config)
        return None if centroid is None else float((1.0 - centroid) ** self.power)
