"""Self-Certainty, approximated from the top-k candidates of each token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import SELF_CERTAINTY
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class SelfCertainty(ScoreSelector):
    """Prefer the rollout with the highest mean self-certainty, approximated from the candidates returned.

    The paper computes it over the whole vocabulary. Here it is computed over the k candidates that an endpoint returns
    (see ``ec_agent.numbers.signals.SIGNALS``), so values for different k cannot be compared. Tokens without the signal
    do not count.

    Source: arXiv 2502.18581.
    """

    label: ClassVar[str] = "self_certainty"
    lower_is_better: ClassVar[bool] = False
    signals = reads(SELF_CERTAINTY)

    def score(self, candidate: Candidate) -> float | None:
        """Return the mean, in nats, at least 0 up to rounding, or ``None`` if no token has the signal."""
        return mean(present(candidate, SELF_CERTAINTY))
