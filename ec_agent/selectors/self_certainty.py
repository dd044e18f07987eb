"""Self-Certainty, as far as top-k candidates can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import SELF_CERTAINTY
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class SelfCertainty(ScoreSelector):
    """Prefer the highest mean self-certainty, approximated from the candidates returned.

    The paper takes it over the whole vocabulary; here it is taken over the k candidates an endpoint returns (see
    ``ec_agent.numbers.signals.SIGNALS``), so values for different k do not compare. Tokens without are left out of
    the mean.

    Source: arXiv 2502.18581.
    """

    label: ClassVar[str] = "self_certainty"
    lower_is_better: ClassVar[bool] = False
    signals: ClassVar[tuple[str, ...]] = (SELF_CERTAINTY,)

    def score(self, candidate: Candidate) -> float | None:
        """The mean of the approximation, in nats, at least 0 up to rounding."""
        return mean(present(candidate, SELF_CERTAINTY))
