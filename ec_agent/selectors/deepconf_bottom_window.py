"""DeepConf, bottom window confidence: how sure the least sure stretches are."""

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
    """Prefer the highest mean over the least confident windows.

    Every run of ``window`` neighbours is a window; the lowest ``share`` of their means, at least one of them, is
    averaged. A rollout with fewer tokens than a window has one window: all of them.

    Attributes:
        window: its length, in tokens that have a confidence; the paper's is 2,048. For shorter rollouts, give less.
        share: of the window means, the lowest this many, in (0, 1]; rounded up to whole windows. (The authors' code
            rounds down, which no longer shows where there are a few hundred windows.)

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1, or ``share`` not in (0, 1].

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "deepconf_bottom_window"

    share: float = 0.1

    def __post_init__(self) -> None:
        WindowSelector.__post_init__(self)  # slots take the plain super() away
        checked(self, "share", number, "a share of the windows, above 0 and at most 1", above=0, most=1)

    def score(self, candidate: Candidate) -> float | None:
        """The mean of the lowest window means, in nats."""
        means = window_means(present(candidate, CONFIDENCE), self.window)
        lowest = math.ceil(self.share * len(means) - 1e-9)  # .1 of 30 is 3 and a rounding error
        return mean(np.sort(means)[:lowest])
