"""The stored rollouts of EVALUATION's two families, and the selectors of its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from ec_agent import Call, Candidate, HEPConfig, LowestCentroid, Ranking, Trajectory
from ec_agent.evaluation.results import TaskResult
from ec_agent.selectors import (
    CentroidWeightedVote,
    ConfidenceGradient,
    ConfidenceWeightedVote,
    DeepConfBottomWindow,
    DeepConfLowestGroup,
    DeepConfMean,
    DeepConfTail,
    MajorityVote,
    MeanEntropy,
    MeanLogprob,
    RawCentroid,
    SelfCertainty,
    TailEntropy,
    TieBrokenVote,
)

DATA = Path(__file__).parent / "data"
THREE = ("entropy", "confidence", "logprob")
EVERY = (*THREE, "self_certainty")


@cache
def stored(family: str, kept: tuple[str, ...] = THREE) -> tuple[TaskResult, ...]:
    data = dict(np.load(DATA / f"{family}.npz"))
    bounds = np.cumsum(data["lens"])[:-1]
    signals = {name: np.split(data[name].astype(np.float64), bounds) for name in kept}
    timelines = [
        _timeline({name: signals[name][r] for name in signals}, [end for end in ends if end >= 0])
        for r, ends in enumerate(data["calls"].tolist())
    ]
    return tuple(
        TaskResult(
            task=f"{family}-{task}",
            candidates=tuple(
                Candidate(index, timelines[which], final_action=int(answer))
                for index, (which, answer) in enumerate(zip(data["which"][task], data["answer"][task], strict=True))
            ),
            correct=data["ok"][task],
        )
        for task in range(len(data["ok"]))
    )


def _timeline(signals: dict[str, np.ndarray], ends: list[int]) -> Trajectory:
    starts = [0, *ends[:-1]]
    return Trajectory(
        [
            Call(
                signals["entropy"][start:end],
                signals={name: values[start:end] for name, values in signals.items() if name != "entropy"},
            )
            for start, end in zip(starts, ends, strict=True)
        ]
    )


@dataclass(frozen=True)
class ByScore:
    """Rank by a number of each rollout's own, the highest first."""

    name: str
    score: Callable[[Candidate], float | None]
    signals: tuple[str, ...] = ("entropy",)

    def select(self, candidates):
        scores = {c.index: self.score(c) if c.eligible else None for c in candidates}
        known = [index for index, score in scores.items() if score is not None]
        return Ranking(tuple(sorted(known, key=lambda index: (-scores[index], index))), scores, {})


@dataclass(frozen=True)
class Centroid:
    """Lowest Centroid with settings of its own, whatever the candidates bring along."""

    config: HEPConfig
    name: str = "lowest_centroid"
    signals: tuple[str, ...] = ("entropy",)

    def select(self, candidates):
        return LowestCentroid().select([replace(c, config=self.config) for c in candidates])


TABLE = {
    "lowest_centroid 1/80/2": Centroid(HEPConfig(1, 80, 2)),
    "lowest_centroid 5/50/3": Centroid(HEPConfig(5, 50, 3)),
    "mean_entropy": MeanEntropy(),
    "mean_logprob": MeanLogprob(),
    "deepconf_mean": DeepConfMean(),
    "deepconf_bottom_window 16": DeepConfBottomWindow(window=16),
    "majority_vote": MajorityVote(),
}

ALL = {
    "lowest_centroid 1/80/2": TABLE["lowest_centroid 1/80/2"],
    "lowest_centroid 5/50/3": TABLE["lowest_centroid 5/50/3"],
    "raw_centroid": RawCentroid(),
    "mean_entropy": MeanEntropy(),
    "mean_logprob": MeanLogprob(),
    "self_certainty": SelfCertainty(),
    "deepconf_mean": DeepConfMean(),
    "deepconf_tail 16": DeepConfTail(window=16),
    "deepconf_bottom_window 16": DeepConfBottomWindow(window=16),
    "deepconf_lowest_group 16": DeepConfLowestGroup(window=16),
    "tail_entropy": TailEntropy(),
    "majority_vote": MajorityVote(),
    "tie_broken_vote": TieBrokenVote(),
    "centroid_weighted_vote": CentroidWeightedVote(),
    "confidence_weighted_vote": ConfidenceWeightedVote(),
    "confidence_gradient": ConfidenceGradient(),
}
"""All selectors but the confound panel; the results page corrects for all of them."""
