"""Logprobs of shape (T, k) -> centroid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import baseline
from benchmarks.data import CANDIDATES, drawn_logprobs
from benchmarks.harness import Case, at_least, at_most
from ec_agent.numbers.entropy import FloatArray, token_entropy
from ec_agent.numbers.phases import entropy_centroid


def cases() -> Iterator[Case]:
    """At 2,000 and at 32,000 tokens."""
    for name, tokens, goal in (("2k", 2_000, 80), ("32k", 32_000, 120)):
        yield _case(f"(T, k) matrix to centroid, {name} tokens", drawn_logprobs(tokens), goal)


def _case(name: str, logprobs: FloatArray, goal: float) -> Case:
    lists = logprobs.tolist()
    block = np.empty((1024, CANDIDATES))

    def exp_and_log() -> None:
        # In blocks and into one buffer: page faults are no part of exp and log.
        for start in range(0, len(logprobs), 1024):
            rows = logprobs[start : start + 1024]
            out = block[: len(rows)]
            np.exp(rows, out=out)
            np.log(out, out=out)

    return Case(
        name,
        {
            "baseline": lambda: baseline.centroid_of_timeline(baseline.entropies_of(lists)),
            "baseline, C's exp and log": lambda: baseline.centroid_of_timeline(
                baseline.entropies_of(lists, baseline.c_exp, baseline.c_log)
            ),
            "baseline, an array a token": lambda: baseline.centroid_of_timeline(baseline.entropies_by_array(lists)),
            "ours": lambda: entropy_centroid(token_entropy(logprobs)),
            "bare exp + log": exp_and_log,
        },
        [
            at_least("baseline", "ours", goal),
            at_least("baseline, an array a token", "ours", goal),
            at_most("ours", "bare exp + log", 4.7),
        ],
        per=len(logprobs),
    )
