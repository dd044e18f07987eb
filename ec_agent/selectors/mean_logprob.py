"""Mean logprob of the generated tokens. It ranks rollouts in the same order as perplexity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import LOGPROB
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector, mean, present


@dataclass(frozen=True, slots=True)
class MeanLogprob(ScoreSelector):
    """Prefer the rollout whose generated tokens have the highest mean logprob, and so the lowest perplexity.

    It needs only the logprob of each generated token, no candidates. Tokens without a logprob do not count.
    """

    label: ClassVar[str] = "mean_logprob"
    lower_is_better: ClassVar[bool] = False
    signals = reads(LOGPROB)

    def score(self, candidate: Candidate) -> float | None:
        """Return the mean logprob, in nats, at most 0, or ``None`` if there is none. Perplexity is ``exp(-mean)``."""
        return mean(present(candidate, LOGPROB))
