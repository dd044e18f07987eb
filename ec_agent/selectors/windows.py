"""Sliding windows over a timeline, and the base class of the selectors that use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.selectors.validity import affected, validity
from ec_agent.support.checks import checked, whole


@dataclass(frozen=True, slots=True)
class WindowSelector(ScoreSelector):
    """Base class of selectors that read token confidence (DeepConf, arXiv 2508.15260) in windows. Higher is better.

    Tokens without a confidence are removed first, so a window can reach across a gap.

    Attributes:
        window: length of a window, in tokens. The paper uses 2,048. Use less for shorter rollouts.

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1.
    """

    lower_is_better: ClassVar[bool] = False
    signals = reads(CONFIDENCE)

    window: int = 2048

    def __post_init__(self) -> None:
        checked(self, "window", whole, rather="a whole number of tokens, at least 1")

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Return what to know before trusting the order. One warning is about rollouts no longer than a window."""
        lengths = [c.trajectory.count(CONFIDENCE) for c in candidates if c.eligible]
        whom = affected([0 < length <= self.window for length in lengths])
        notes = validity(candidates, CONFIDENCE, phases=False)
        if whom is None:
            return notes
        return (
            f"{whom} are no longer than the window of {self.window} tokens, so their score is a mean of all tokens; "
            "set a shorter window=, use longer rollouts, or leave it",
            *notes,
        )


def window_means(values: FloatArray, window: int) -> FloatArray:
    """Return the mean of each window of ``window`` neighbouring values.

    Args:
        values: shape ``(T,)``, without NaN.
        window: length of a window.

    Returns:
        Shape ``(T - window + 1,)``. If there are not more than ``window`` values, one mean of all values. Empty if
        there are no values.
    """
    if len(values) <= window:
        return values[:0] if not len(values) else np.array([values.mean()])
    # Sums run from the first token on. Rollouts that begin with the same tokens then get exactly the same means for
    # them, and can tie.
    sums = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray((sums[window:] - sums[:-window]) / window)
