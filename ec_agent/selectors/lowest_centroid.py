"""Lowest Centroid, the paper's selector (docs/method.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ec_agent.selectors.base import Candidate, Ranking
from ec_agent.signals import ENTROPY, check_signals


@dataclass(frozen=True, slots=True)
class LowestCentroid:
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

    signal: str = ENTROPY

    def __post_init__(self) -> None:
        check_signals([self.signal])

    @property
    def name(self) -> str:
        """What it is called in receipts."""
        return "lowest_centroid" if self.signal == ENTROPY else f"lowest_centroid({self.signal})"

    @property
    def signals(self) -> tuple[str, ...]:
        """The signal it reads."""
        return (self.signal,)

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank by centroid, ascending."""
        scores = {c.index: c.trajectory.centroid(c.config, self.signal) if c.eligible else None for c in candidates}
        scored = {index: score for index, score in scores.items() if score is not None}
        return Ranking(
            order=tuple(sorted(scored, key=lambda index: (scored[index], index))),
            scores=scores,
            reasons={c.index: "no_phases" for c in candidates if c.eligible and scores[c.index] is None},
        )
