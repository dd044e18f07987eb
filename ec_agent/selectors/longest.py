"""Longest: a baseline that shows whether length alone explains a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector, token_count


@dataclass(frozen=True, slots=True)
class Longest(ScoreSelector):
    """Prefer the rollout with the most generated tokens. It needs no logprobs.

    If it does as well as a selector that reads entropies, that selector may measure nothing but the length.
    """

    label: ClassVar[str] = "longest"
    lower_is_better: ClassVar[bool] = False
    unscored_reason: ClassVar[str] = "length_unknown"
    signals = reads()

    def score(self, candidate: Candidate) -> float | None:
        """Return the number of generated tokens, or ``None`` if a call did not report it or no call was captured."""
        return token_count(candidate)
