"""Entropies -> centroid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks import baseline
from benchmarks.data import drawn_entropies
from benchmarks.harness import Case, at_least, at_most
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.phases import entropy_centroid

DIFFERENT = 50
"""Timelines that are scored in turn. A processor learns the branches of one timeline by heart where it is scored over
and over: the same partition takes 10 us then, and 30 to 80 us where timelines change, as a user's do."""


def cases() -> Iterator[Case]:
    """At 2,000 and at 32,000 tokens; one timeline over and over, and many in turn."""
    for name, tokens, goal, limit in (("2k", 2_000, 14, 3.5), ("32k", 32_000, 25, 1.8)):
        some = [drawn_entropies(tokens, seed) for seed in range(DIFFERENT)]
        yield _case(f"entropies to centroid, {name} tokens", some[:1], goal, limit)
        yield _case(f"entropies to centroid, {name} tokens, {DIFFERENT} timelines in turn", some, goal, limit)


def _case(name: str, timelines: Sequence[FloatArray], goal: float, limit: float) -> Case:
    lists = [timeline.tolist() for timeline in timelines]
    return Case(
        name,
        {
            "baseline": _in_turn(baseline.centroid_of_timeline, lists),
            "ours": _in_turn(entropy_centroid, timelines),
            "np.sort": _in_turn(np.sort, timelines),
        },
        [at_least("baseline", "ours", goal), at_most("ours", "np.sort", limit)],
        per=len(timelines[0]),
    )


def _in_turn(function: Callable[[Any], Any], inputs: Sequence[Any]) -> Callable[[], Any]:
    coming = cycle(inputs)
    return lambda: function(next(coming))
