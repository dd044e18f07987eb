"""Entropies -> centroid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import baseline
from benchmarks.data import drawn_entropies
from benchmarks.harness import Case, at_least, at_most
from ec_agent.entropy import FloatArray
from ec_agent.phases import entropy_centroid


def cases() -> Iterator[Case]:
    """At 2,000 and at 32,000 tokens."""
    for name, tokens, goal, limit in (("2k", 2_000, 14, 3.5), ("32k", 32_000, 25, 1.8)):
        yield _case(f"entropies to centroid, {name} tokens", drawn_entropies(tokens), goal, limit)


def _case(name: str, entropies: FloatArray, goal: float, limit: float) -> Case:
    timeline = entropies.tolist()
    return Case(
        name,
        {
            "baseline": lambda: baseline.centroid_of_timeline(timeline),
            "ours": lambda: entropy_centroid(entropies),
            "np.sort": lambda: np.sort(entropies),
        },
        [at_least("baseline", "ours", goal), at_most("ours", "np.sort", limit)],
        per=len(entropies),
    )
