"""Mean logprob, which ranks as perplexity does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import LOGPROB
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class MeanLogprob(ScoreSelector):
    """Prefer the rollout whose generated tokens had the highest logprob on average: the lowest perplexity.

    It needs no candidates, only the logprob of each generated token; tokens without are left out of the mean.
    """

    label: ClassVar[str] = "mean_logprob"
    lower_is_better: ClassVar[bool] = False
    signals: ClassVar[tuple[str, ...]] = (LOGPROB,)

    def score(self, candidate: Candidate) -> float | None:
        """The mean logprob, in nats, at most 0; the perplexity is ``exp`` of its negative."""
        return mean(present(candidate, LOGPROB))
