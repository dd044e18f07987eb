"""Mean entropy of all tokens of the rollout, wherever in the timeline they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import ENTROPY
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class MeanEntropy(ScoreSelector):
    """Prefer the rollout whose tokens have the lowest mean entropy.

    Tokens without an entropy do not count.
    """

    label: ClassVar[str] = "mean_entropy"
    lower_is_better: ClassVar[bool] = True
    signals = reads(ENTROPY)

    def score(self, candidate: Candidate) -> float | None:
        """Return the mean entropy, in nats, or ``None`` if no token has one."""
        return mean(present(candidate, ENTROPY))
