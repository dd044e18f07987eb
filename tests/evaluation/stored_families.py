"""The stored rollouts of EVALUATION's two families, and the selectors of its table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from ec_agent import Call, Candidate, HEPConfig, LowestCentroid, Ranking, Trajectory
from ec_agent.evaluation.results import TaskResult

DATA = Path(__file__).parent / "data"


@cache
def stored(family: str) -> tuple[TaskResult, ...]:
    data = dict(np.load(DATA / f"{family}.npz"))
    bounds = np.cumsum(data["lens"])[:-1]
    signals = {name: np.split(data[name].astype(np.float64), bounds) for name in ("entropy", "confidence", "logprob")}
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
                signals={name: signals[name][start:end] for name in ("confidence", "logprob")},
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
    config: HEPConfig
    name: str = "lowest_centroid"
    signals: tuple[str, ...] = ("entropy",)

    def select(self, candidates):
        return LowestCentroid().select([replace(c, config=self.config) for c in candidates])


@dataclass(frozen=True)
class Majority:
    name: str = "majority_vote"
    signals: tuple[str, ...] = ()

    def select(self, candidates):
        ended = [c for c in candidates if c.error is None]
        votes = Counter(c.final_action for c in ended)
        scores = {c.index: float(votes[c.final_action]) for c in ended}
        return Ranking(tuple(sorted(scores, key=lambda index: (-scores[index], index))), scores, {})


def mean_of(signal: str) -> Callable[[Candidate], float]:
    return lambda c: float(c.trajectory.signal(signal).mean())


def bottom_window(window: int, share: float = 0.1) -> Callable[[Candidate], float]:
    """DeepConf: the mean of the lowest ``share`` of the sliding windows' means, rounded up to whole windows."""

    def score(candidate: Candidate) -> float:
        confidence = candidate.trajectory.signal("confidence")
        if len(confidence) < window:
            return float(confidence.mean())
        means = np.sort(np.lib.stride_tricks.sliding_window_view(confidence, window).mean(axis=1))
        return float(means[: math.ceil(share * len(means))].mean())

    return score


TABLE = {
    "lowest_centroid 1/80/2": Centroid(HEPConfig(1, 80, 2)),
    "lowest_centroid 5/50/3": Centroid(HEPConfig(5, 50, 3)),
    "mean_entropy": ByScore("mean_entropy", lambda c: -float(c.trajectory.entropies.mean())),
    "mean_logprob": ByScore("mean_logprob", mean_of("logprob"), ("logprob",)),
    "deepconf_mean": ByScore("deepconf_mean", mean_of("confidence"), ("confidence",)),
    "deepconf_bottom_window 16": ByScore("deepconf_bottom_window", bottom_window(16), ("confidence",)),
    "majority_vote": Majority(),
}
