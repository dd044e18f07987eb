"""Fewest calls: a confound to look for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector, call_count


@dataclass(frozen=True, slots=True)
class FewestCalls(ScoreSelector):
    """Prefer the rollout with the fewest LLM calls. It needs no logprobs.

    An agent that stops when it has succeeded makes this win, and every signal that goes with the number of calls.
    """

    label: ClassVar[str] = "fewest_calls"
    lower_is_better: ClassVar[bool] = True
    unscored_reason: ClassVar[str] = "no_calls"
    signals: ClassVar[tuple[str, ...]] = ()

    def score(self, candidate: Candidate) -> float | None:
        """LLM calls that count; ``None`` where none was seen."""
        return call_count(candidate)
