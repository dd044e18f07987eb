"""DeepConf, mean confidence of the whole rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class DeepConfMean(ScoreSelector):
    """Prefer the highest mean token confidence (see ``ec_agent.numbers.signals.SIGNALS``).

    Tokens without one are left out of the mean.

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_mean"
    lower_is_better: ClassVar[bool] = False
    signals: ClassVar[tuple[str, ...]] = (CONFIDENCE,)

    def score(self, candidate: Candidate) -> float | None:
        """The mean confidence, in nats."""
        return mean(present(candidate, CONFIDENCE))
