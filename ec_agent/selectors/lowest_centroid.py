"""Lowest Centroid, the paper's selector (docs/method.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ec_agent.selectors.base import Candidate, Ranking
from ec_agent.signals import ENTROPY


@dataclass(frozen=True, slots=True)
class LowestCentroid:
    """Prefer the rollout that was uncertain early and sure later: the lowest entropy centroid.

    Ties go to the lowest index. A rollout without a centroid is not ranked, so it never beats one that has
    a centroid.

    Source: arXiv 2604.26173.
    """

    name: str = "lowest_centroid"
    signals: tuple[str, ...] = (ENTROPY,)

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank by centroid, ascending."""
        scores = {c.index: c.trajectory.centroid(c.config) if c.eligible else None for c in candidates}
        scored = {index: score for index, score in scores.items() if score is not None}
        return Ranking(
            order=tuple(sorted(scored, key=lambda index: (scored[index], index))),
            scores=scores,
            reasons={c.index: "no_phases" for c in candidates if c.eligible and scores[c.index] is None},
        )
