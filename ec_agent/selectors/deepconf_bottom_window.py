"""DeepConf's bottom window confidence: the mean confidence of the least confident windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import mean, present
from ec_agent.selectors.windows import WindowSelector, window_means
from ec_agent.support.checks import checked, number


@dataclass(frozen=True, slots=True)
class DeepConfBottomWindow(WindowSelector):
    """Prefer the rollout whose least confident windows are the most confident.

    A window is ``window`` neighbouring tokens, and one starts at each token. The score is the mean of the lowest
    ``share`` of the windows' mean confidences, at least one. A rollout with fewer tokens than ``window`` has one
    window: all its tokens.

    Attributes:
        window: length of a window, in tokens that have a confidence. The paper uses 2,048. Use less for shorter
            rollouts.
        share: which share of the windows counts, in (0, 1], rounded up to whole windows. The authors' code rounds
            down; with a few hundred windows the difference does not show.

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1, or ``share`` is not in (0, 1].

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_bottom_window"

    share: float = 0.1

    def __post_init__(self) -> None:
        WindowSelector.__post_init__(self)  # super() fails in a dataclass with slots: the class is made twice
        checked(self, "share", number, "a share of the windows, above 0 and at most 1", above=0, most=1)

    def score(self, candidate: Candidate) -> float | None:
        """Return the mean of the lowest window means, in nats, or ``None`` if no token has a confidence."""
        means = window_means(present(candidate, CONFIDENCE), self.window)
        # Without 1e-9, 0.1 of 30 windows would be 4: the product is 3 and a rounding error.
        lowest = math.ceil(self.share * len(means) - 1e-9)
        return mean(np.sort(means)[:lowest])
