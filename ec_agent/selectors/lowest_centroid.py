"""Lowest Centroid, the paper's selector (docs/method.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ec_agent.numbers.signals import ENTROPY, check_signal
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.selectors.validity import validity


@dataclass(frozen=True, slots=True)
class LowestCentroid(ScoreSelector):
    """Prefer the rollout that was uncertain early and sure later: the lowest entropy centroid.

    Ties go to the lowest index. A rollout without a centroid is not ranked, so it never beats one that has
    a centroid.

    Attributes:
        signal: the per-token signal whose phases are weighed. The method's is ``"entropy"``; ``"surprisal"`` is a
            stand-in for endpoints that return the logprob of the sampled token alone. All candidates are compared by
            this one signal, never some by one and some by another.

    Raises:
        ConfigError: there is no such signal.

    Source: arXiv 2604.26173 (the entropy; surprisal is not in the paper).
    """

    label: ClassVar[str] = "lowest_centroid"
    lower_is_better: ClassVar[bool] = True
    unscored_reason: ClassVar[str] = "no_phases"

    signal: str = ENTROPY

    def __post_init__(self) -> None:
        check_signal(self.signal)

    @property
    def name(self) -> str:
        """What it is called in receipts."""
        return self.label if self.signal == ENTROPY else f"{self.label}({self.signal})"

    @property
    def signals(self) -> tuple[str, ...]:
        """The signal it reads."""
        return (self.signal,)

    def score(self, candidate: Candidate) -> float | None:
        """The centroid, in [0, 1)."""
        return candidate.trajectory.centroid(candidate.config, self.signal)

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """What to know before trusting the order, phases included."""
        return validity(candidates, self.signal)
