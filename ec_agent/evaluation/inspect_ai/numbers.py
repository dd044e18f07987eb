"""What is kept of a rollout in Inspect's store, scores and log: one number a selector, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ec_agent.numbers.coverage import MIN_COVERAGE, unscored
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import ENTROPY, SURPRISAL, leading
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, LowestCentroid
from ec_agent.selectors.registry import SELECTORS
from ec_agent.selectors.scoring import ScoreSelector

KEY = "ec_agent"
"""Under this name the numbers are in ``state.store`` and in ``Score.metadata``."""

_SELECTORS = (
    *(kind() for kind in SELECTORS.values() if issubclass(kind, ScoreSelector)),
    LowestCentroid(signal=SURPRISAL),
)
SCORED: Mapping[str, ScoreSelector] = MappingProxyType({selector.name: selector for selector in _SELECTORS})
"""The selectors that give a rollout a number of its own, with their default settings, by name."""


def numbers_of(
    trajectory: Trajectory, *, answer: str | None, config: HEPConfig | None = None, min_coverage: float = MIN_COVERAGE
) -> dict[str, Any]:
    """What a selector needs to know of a rollout that ended, without its timeline.

    Args:
        trajectory: its calls, with every signal.
        answer: its final answer, for the vote.
        config: settings of the phases; ``None`` is ``HEPConfig()``.
        min_coverage: smallest share of its tokens with the signal that a selector reads, for that selector to score it.

    Returns:
        Plain JSON: ``scores`` (by the selector's name, ``None`` where it has none), ``reason`` (why it has no centroid,
        else ``None``), ``answer``, ``error``, ``tokens``, ``calls``, ``coverage``, ``phases``.
    """
    config = config or HEPConfig()
    few = unscored(trajectory, ENTROPY, min_coverage)
    scores = {name: _score(trajectory, selector, config, min_coverage) for name, selector in SCORED.items()}
    return {
        "scores": scores,
        "reason": None if scores[LowestCentroid.label] is not None else few or LowestCentroid.unscored_reason,
        "answer": answer,
        "error": None,
        "tokens": len(trajectory),
        "calls": len(trajectory.calls),
        "coverage": trajectory.coverage,
        "phases": len(trajectory.phases(config).starts),
    }


def _score(trajectory: Trajectory, selector: ScoreSelector, config: HEPConfig, min_coverage: float) -> float | None:
    signal = leading(selector.signals)
    few = None if signal is None else unscored(trajectory, signal, min_coverage)
    candidate = Candidate(0, trajectory, config=config, unscored=few)
    return selector.select([candidate]).scores[0]
