"""Shortest: a baseline, and a confound to look for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector, token_count


@dataclass(frozen=True, slots=True)
class Shortest(ScoreSelector):
    """Prefer the rollout with the fewest generated tokens. It needs no logprobs.

    Where this does as well as a selector by entropies, that one may have found nothing but the stopping time.
    """

    label: ClassVar[str] = "shortest"
    lower_is_better: ClassVar[bool] = True
    unscored_reason: ClassVar[str] = "length_unknown"
    signals: ClassVar[tuple[str, ...]] = ()

    def score(self, candidate: Candidate) -> float | None:
        """Generated tokens; ``None`` where a call did not say how many, or no call was seen."""
        return token_count(candidate)
