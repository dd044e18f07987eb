"""Two processes score twice as much as one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks.data import drawn_logprobs
from benchmarks.harness import Case, at_least, wall_seconds
from ec_agent.numbers.entropy import token_entropy
from ec_agent.numbers.phases import entropy_centroid


def score(_: int) -> None:
    """Score one rollout's matrix, over and over."""
    logprobs = drawn_logprobs(8_000)
    for _ in range(40):
        entropy_centroid(token_entropy(logprobs))


def cases() -> Iterator[Case]:
    """The same work by one and by two."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context) as one, ProcessPoolExecutor(2, context) as two:
        yield Case(
            "scoring in two processes",
            {"one process": lambda: list(one.map(score, range(4))), "two": lambda: list(two.map(score, range(4)))},
            [at_least("one process", "two", 1.7)],
            gauge=wall_seconds,
            rounds=9,
        )
