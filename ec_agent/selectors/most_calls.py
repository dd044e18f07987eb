"""Most calls: a confound to look for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector, call_count


@dataclass(frozen=True, slots=True)
class MostCalls(ScoreSelector):
    """Prefer the rollout with the most LLM calls. It needs no logprobs.

    An agent that gives up early when it fails makes this win, and every signal that goes with the number of calls.
    """

    label: ClassVar[str] = "most_calls"
    lower_is_better: ClassVar[bool] = False
    unscored_reason: ClassVar[str] = "no_calls"
    signals: ClassVar[tuple[str, ...]] = ()

    def score(self, candidate: Candidate) -> float | None:
        """LLM calls that count; ``None`` where none was seen."""
        return call_count(candidate)
