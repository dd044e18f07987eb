"""Sliding windows, and what the selectors that use them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.selectors.validity import affected, validity
from ec_agent.support.checks import checked, whole


@dataclass(frozen=True, slots=True)
class WindowSelector(ScoreSelector):
    """Reads token confidence (DeepConf, arXiv 2508.15260) by windows; higher is better.

    Tokens without a confidence are left out: a window is so many neighbours among those that have one.

    Attributes:
        window: its length in tokens; the paper's is 2,048. For agents whose rollouts are shorter, give less.

    Raises:
        ConfigError: ``window`` is not a whole number of at least 1.
    """

    lower_is_better: ClassVar[bool] = False
    signals: ClassVar[tuple[str, ...]] = (CONFIDENCE,)

    window: int = 2048

    def __post_init__(self) -> None:
        checked(self, "window", whole, rather="a whole number of tokens, at least 1")

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """What to know before trusting the order; also where there is no window shorter than a rollout."""
        lengths = [c.trajectory.count(CONFIDENCE) for c in candidates if c.eligible]
        whom = affected([0 < length <= self.window for length in lengths])
        notes = validity(candidates, CONFIDENCE, phases=False)
        if whom is None:
            return notes
        return (
            f"{whom} are no longer than the window of {self.window} tokens: it is then the mean of the whole rollout; "
            "set a shorter window=, use longer rollouts, or leave it",
            *notes,
        )


def window_means(values: FloatArray, window: int) -> FloatArray:
    """Means of all windows of ``window`` neighbours, shape ``(T - window + 1,)``; of all values where there are fewer.

    ``values`` has shape ``(T,)``, without gaps. Nothing in, nothing out.
    """
    if len(values) <= window:
        return values[:0] if not len(values) else np.array([values.mean()])
    # Running sums, from the first token on: rollouts that begin alike get the same means to the last bit, and tie.
    sums = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray((sums[window:] - sums[:-window]) / window)
