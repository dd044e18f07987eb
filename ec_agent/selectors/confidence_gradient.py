"""Confidence gradient: a vote in which rollouts weigh more that end more confidently than they began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import CONFIDENCE
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import present
from ec_agent.selectors.voting import SignalWeightedVote
from ec_agent.support.checks import checked, number


@dataclass(frozen=True, slots=True)
class ConfidenceGradient(SignalWeightedVote):
    """Prefer the answer with the highest ``votes ** power * mean(confidence + beta * gradient)`` over its rollouts.

    ``confidence`` is the mean confidence of a rollout's tokens (DeepConf's; see ``ec_agent.numbers.signals.SIGNALS``),
    and ``gradient`` the mean of its last tokens less the mean of its first, both in nats. Scores are no shares, and can
    be below 0. If no two rollouts agree, each answer stands for its one rollout. A rollout without confidences has no
    vote. The authors leave out rollouts of fewer than 10 tokens; here these count, by one token at each end.

    Attributes:
        beta: how much the gradient counts, from -1000 to 1000. The authors use 3 or 10, by model, found on the tasks on
            which they report.
        part: which share of the tokens are the first and the last, above 0, at most 0.5; at least one token.
        power: how much the number of votes counts, from 0 to 1. At 1 the values are summed up.

    Raises:
        ConfigError: a setting is out of range.

    Source: arXiv 2605.25244, and its public code, which has the same formula.
    """

    label: ClassVar[str] = "confidence_gradient"
    signals = reads(CONFIDENCE)
    as_share: ClassVar[bool] = False

    beta: float = 3.0
    part: float = 0.1
    power: float = 0.5

    def __post_init__(self) -> None:
        SignalWeightedVote.__post_init__(self)
        checked(self, "beta", number, "a number from -1000 to 1000", least=-1000, most=1000)
        checked(self, "part", number, "a share of the tokens, above 0 and at most 0.5", above=0, most=0.5)
        checked(self, "power", number, "a number from 0 to 1", least=0, most=1)

    @property
    def count_power(self) -> float:
        """The setting ``power``."""
        return self.power

    def weight(self, candidate: Candidate) -> float | None:
        """Return ``confidence + beta * gradient``, in nats, or ``None`` if no token has a confidence."""
        values = present(candidate, CONFIDENCE)
        if not len(values):
            return None
        # Without 1e-9, 0.29 of 100 tokens would be 28: the product is 29 less a rounding error.
        ends = max(1, int(self.part * len(values) + 1e-9))
        return float(values.mean() + self.beta * (values[-ends:].mean() - values[:ends].mean()))
