"""Fewest calls: a baseline that shows whether the number of calls alone explains a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector, call_count


@dataclass(frozen=True, slots=True)
class FewestCalls(ScoreSelector):
    """Prefer the rollout with the fewest LLM calls. It needs no logprobs.

    If an agent stops as soon as it succeeds, this selector does well, and so does every signal that correlates with
    the number of calls. Compare your selector with this one.
    """

    label: ClassVar[str] = "fewest_calls"
    lower_is_better: ClassVar[bool] = True
    unscored_reason: ClassVar[str] = "no_calls"
    signals = reads()

    def score(self, candidate: Candidate) -> float | None:
        """Return the number of LLM calls, or ``None`` if no call was captured."""
        return call_count(candidate)
