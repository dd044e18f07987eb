"""DeepConf, lowest group confidence: how sure the least sure stretch is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import present
from ec_agent.selectors.windows import WindowSelector, window_means


@dataclass(frozen=True, slots=True)
class DeepConfLowestGroup(WindowSelector):
    """Prefer the rollout whose least confident window is the most confident.

    A rollout with fewer tokens than a window has one window: all of them.

    Attributes:
        window: its length, in tokens that have a confidence; the paper's is 2,048. For shorter rollouts, give less.

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1.

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_lowest_group"

    def score(self, candidate: Candidate) -> float | None:
        """The lowest mean confidence of a window, in nats."""
        means = window_means(present(candidate, CONFIDENCE), self.window)
        return float(means.min()) if len(means) else None
