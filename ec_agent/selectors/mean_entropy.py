"""Mean entropy: the whole rollout, wherever its doubts lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import ENTROPY
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class MeanEntropy(ScoreSelector):
    """Prefer the rollout whose tokens had the lowest entropy on average.

    Tokens without an entropy are left out of the mean.
    """

    label: ClassVar[str] = "mean_entropy"
    lower_is_better: ClassVar[bool] = True
    signals: ClassVar[tuple[str, ...]] = (ENTROPY,)

    def score(self, candidate: Candidate) -> float | None:
        """The mean entropy, in nats."""
        return mean(present(candidate, ENTROPY))
