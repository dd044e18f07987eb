"""The raw-entropy centroid, the paper's ablation without phases (docs/method.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ec_agent.numbers.signals import ENTROPY
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.scoring import ScoreSelector


@dataclass(frozen=True, slots=True)
class RawCentroid(ScoreSelector):
    """Prefer the lowest centroid where the mass of each token is its entropy, without phases.

    A token without an entropy has no mass, but keeps its place in the timeline. A rollout whose entropies are all 0
    has no mass, and so no centroid.

    Source: arXiv 2604.26173, the ablation without phases.
    """

    label: ClassVar[str] = "raw_centroid"
    lower_is_better: ClassVar[bool] = True
    unscored_reason: ClassVar[str] = "no_mass"
    signals = reads(ENTROPY)

    def score(self, candidate: Candidate) -> float | None:
        """Return the centroid, in [0, 1), or ``None`` if there is no mass."""
        masses = np.nan_to_num(candidate.trajectory.signal(ENTROPY))
        total = masses.sum()
        if total <= 0.0:
            return None
        return float(masses @ np.arange(len(masses)) / total / len(masses))
