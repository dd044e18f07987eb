"""DeepConf's vote: equal answers are counted, and the vote of a confident rollout weighs more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import mean, present
from ec_agent.selectors.voting import SignalWeightedVote


@dataclass(frozen=True, slots=True)
class ConfidenceWeightedVote(SignalWeightedVote):
    """Prefer the answer with the most weight. The vote of a rollout weighs the mean confidence of its tokens, in nats.

    The confidence is DeepConf's (see ``ec_agent.numbers.signals.SIGNALS``). Of the ways to weigh and to filter votes
    that its authors compare, this is the plainest: all votes count, and no window has to be set. A rollout without
    confidences has no vote, because any weight for it would be made up.

    Source: arXiv 2508.15260.
    """

    label: ClassVar[str] = "confidence_weighted_vote"
    signals = reads(CONFIDENCE)

    def weight(self, candidate: Candidate) -> float | None:
        """Return the mean confidence, in nats, or ``None`` if there is none above 0."""
        confidence = mean(present(candidate, CONFIDENCE))
        return confidence if confidence is not None and confidence > 0 else None
