"""DeepConf's lowest group confidence: the mean confidence of the least confident window."""

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

    A window is ``window`` neighbouring tokens, and one starts at each token. A rollout with fewer tokens than
    ``window`` has one window: all its tokens.

    Attributes:
        window: length of a window, in tokens that have a confidence. The paper uses 2,048. Use less for shorter
            rollouts.

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1.

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_lowest_group"

    def score(self, candidate: Candidate) -> float | None:
        """Return the lowest mean confidence of a window, in nats, or ``None`` if no token has a confidence."""
        means = window_means(present(candidate, CONFIDENCE), self.window)
        return float(means.min()) if len(means) else None
