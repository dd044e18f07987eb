"""What a captured token keeps, and what a sweep over a large file needs."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import completion_of, drawn_logprobs
from benchmarks.harness import Case, at_least, at_most, value
from ec_agent.capture.shapes import call_of, payload_of_response
from ec_agent.selectors import LowestCentroid

TOKENS = 20_000
_SWEEP = """
import resource, sys
from pathlib import Path
from ec_agent.cli.sweep import run_sweep
run_sweep(Path(sys.argv[1]), None, fresh=True, as_json=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
"""


def cases() -> Iterator[Case]:
    """Retained memory per token, then the peak of sweeps."""
    yield _retained("", with_bytes=False)
    yield _retained(", with bytes", with_bytes=True)
    with tempfile.TemporaryDirectory() as folder:
        yield _peak(Path(folder))


def _retained(name: str, *, with_bytes: bool) -> Case:
    body = completion_of(drawn_logprobs(TOKENS), with_bytes=with_bytes)

    def captured() -> Any:
        return call_of(payload_of_response(json.loads(body)), LowestCentroid().signals)

    return Case(
        f"retained memory per token{name}",
        {
            "dictionaries": lambda: _kept_by(lambda: json.loads(body)) / TOKENS,
            "ours": lambda: _kept_by(captured) / TOKENS,
            "one byte": lambda: 1,
        },
        [at_least("dictionaries", "ours", 600), at_most("ours", "one byte", 9)],
        gauge=value,
        unit="bytes",
        rounds=3,
    )


def _kept_by(make: Callable[[], Any]) -> int:
    make()  # caches and scratch memory are not kept for it
    gc.collect()
    tracemalloc.start()
    try:
        kept = make()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        del kept
    finally:
        tracemalloc.stop()
    return size


def _peak(folder: Path) -> Case:
    arms = {}
    for name, tokens in (("1M", 1_000_000), ("10M", 10_000_000), ("100M", 100_000_000)):
        arms[name] = partial(_peak_of_sweep, folder / f"{name}.npz", tokens)
    return Case(
        "peak memory of a sweep over a file of entropies",
        arms,
        [at_most("10M", "1M", 1.1), at_most("100M", "1M", 1.1)],
        gauge=value,
        unit="bytes",
        rounds=1,
    )


def _peak_of_sweep(file: Path, tokens: int) -> int:
    if not file.exists():
        rng = np.random.default_rng(3)
        entropies = rng.standard_exponential(tokens, dtype=np.float32)
        np.savez(file, entropies=entropies, lengths=np.full(tokens // 2_000, 2_000))
    done = subprocess.run([sys.executable, "-c", _SWEEP, file], capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1])
