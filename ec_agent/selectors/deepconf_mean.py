"""DeepConf's mean confidence of all tokens of the rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class DeepConfMean(ScoreSelector):
    """Prefer the rollout whose tokens have the highest mean confidence (see ``ec_agent.numbers.signals.SIGNALS``).

    Tokens without a confidence do not count.

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_mean"
    lower_is_better: ClassVar[bool] = False
    signals = reads(CONFIDENCE)

    def score(self, candidate: Candidate) -> float | None:
        """Return the mean confidence, in nats, or ``None`` if no token has one."""
        return mean(present(candidate, CONFIDENCE))
