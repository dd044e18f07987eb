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
    """Prefer the rollout with the lowest entropy centroid: it was unsure early and sure later.

    If centroids are equal, the rollout with the lowest index wins. A rollout without a centroid is not ranked, so it
    never beats one that has a centroid.

    Attributes:
        signal: the per-token signal whose phases make the centroid. The paper uses ``"entropy"``. ``"surprisal"`` is
            a substitute for endpoints that return only the logprob of the sampled token. All candidates are compared
            by the same signal.

    Raises:
        ConfigError: there is no signal of that name.

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
        """The selector's name in receipts; it includes the signal unless that is the entropy."""
        return self.label if self.signal == ENTROPY else f"{self.label}({self.signal})"

    @property
    def signals(self) -> tuple[str, ...]:
        """The one signal that the selector reads."""
        return (self.signal,)

    def score(self, candidate: Candidate) -> float | None:
        """Return the centroid, in [0, 1), or ``None`` if the rollout has no phase."""
        return candidate.trajectory.centroid(candidate.config, self.signal)

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Return what to know before trusting the order; see ``validity``."""
        return validity(candidates, self.signal)
