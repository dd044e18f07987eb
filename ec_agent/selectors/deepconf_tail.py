"""DeepConf's tail confidence: the mean confidence of the last tokens of the rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import mean, present
from ec_agent.selectors.windows import WindowSelector


@dataclass(frozen=True, slots=True)
class DeepConfTail(WindowSelector):
    """Prefer the rollout whose last ``window`` tokens have the highest mean confidence.

    If the rollout has fewer tokens, all of them count.

    Attributes:
        window: how many of the last tokens count, among those that have a confidence. The paper uses 2,048. Use less
            for shorter rollouts.

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1.

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_tail"

    def score(self, candidate: Candidate) -> float | None:
        """Return the mean confidence of the last tokens, in nats, or ``None`` if no token has one."""
        return mean(present(candidate, CONFIDENCE)[-self.window :])
