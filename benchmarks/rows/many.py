"""27 settings over 1,000 trajectories, and 2 million stored tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import baseline
from benchmarks.data import completion_of, drawn_entropies, drawn_logprobs
from benchmarks.harness import Case, at_least, at_most
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.entropy_files import EntropyFile
from ec_agent.numbers.many_timelines import SWEEP, score_many
from ec_agent.numbers.phases import HEPConfig

ROLLOUTS, TOKENS = 1_000, 2_000
SAMPLED = 20
"""The baseline does one trajectory in so many, and its time counts so many times: it takes a quarter of a minute."""


def cases() -> Iterator[Case]:
    """The sweep, then the stored tokens."""
    flat = drawn_entropies(ROLLOUTS * TOKENS)
    yield _sweep(flat.reshape(ROLLOUTS, TOKENS))
    with tempfile.TemporaryDirectory() as folder:
        yield _stored(flat, Path(folder))


def _sweep(timelines: FloatArray) -> Case:
    settings = [(config.top_percent, config.bottom_percent, config.consecutive_low) for config in SWEEP]
    some = timelines[::SAMPLED].tolist()

    def sums() -> None:
        for _ in SWEEP:
            for timeline in timelines:
                np.sum(timeline)

    def slow() -> None:
        for timeline in some:
            for setting in settings:
                baseline.centroid_of_timeline(timeline, setting)

    return Case(
        "27 settings over 1,000 trajectories of 2k tokens",
        {"baseline": slow, "ours": lambda: score_many(timelines), "27 np.sum": sums},
        [at_least("baseline", "ours", 130), at_most("ours", "27 np.sum", 4)],
        times={"baseline": SAMPLED},
        rounds=9,
        seconds=40,
        per=ROLLOUTS * TOKENS,
    )


def _stored(flat: FloatArray, folder: Path) -> Case:
    file = folder / "runs.npz"
    np.savez(file, entropies=flat.astype(np.float32), lengths=[TOKENS] * ROLLOUTS)
    kept = flat.astype(np.float32).astype(np.float64).reshape(ROLLOUTS, TOKENS)
    body = folder / "one.json"
    body.write_bytes(completion_of(drawn_logprobs(TOKENS)))
    config = [HEPConfig()]

    def load_and_rescore() -> None:
        for entropies, lengths in EntropyFile(file).parts():
            score_many(entropies, config, lengths=lengths)

    return Case(
        "load and rescore 2M stored tokens",
        {
            "baseline from JSON": lambda: baseline.centroid_of_json(body.read_bytes()),
            "ours": load_and_rescore,
            "rescoring alone": lambda: score_many(kept, config),
        },
        [at_least("baseline from JSON", "ours", 800), at_most("ours", "rescoring alone", 1.4)],
        times={"baseline from JSON": ROLLOUTS},
        rounds=9,
        per=ROLLOUTS * TOKENS,
    )
