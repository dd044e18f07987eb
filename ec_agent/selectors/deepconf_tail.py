"""DeepConf, tail confidence: how sure the end of the rollout is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import mean, present
from ec_agent.selectors.windows import WindowSelector


@dataclass(frozen=True, slots=True)
class DeepConfTail(WindowSelector):
    """Prefer the highest mean confidence of the last tokens; of all tokens where there are fewer.

    Attributes:
        window: its length, in tokens that have a confidence; the paper's is 2,048. For shorter rollouts, give less.

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1.

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_tail"

    def score(self, candidate: Candidate) -> float | None:
        """The mean confidence of the tail, in nats."""
        return mean(present(candidate, CONFIDENCE)[-self.window :])
