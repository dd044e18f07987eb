"""Parquet files of lists, scored under 27 settings by one process and by two."""

from __future__ import annotations

import resource
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import drawn_entropies
from benchmarks.harness import Arm, Case, at_least, at_most, cpu_seconds, value, wall_seconds
from ec_agent.bulk.parquet_lists import Lists
from ec_agent.bulk.sweeping import jobs_of, sweep
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.many_timelines import score_many

FILES, ROLLOUTS, TOKENS = 16, 800, 10_000
"""Of each file as many rollouts of as many tokens: 128 million tokens, so that starts of processes hardly show."""


def cases() -> Iterator[Case]:
    """What it costs, then what a second process gains."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entropies = drawn_entropies(ROLLOUTS * TOKENS).astype(np.float32)
        first = _written(folder / "0.parquet", entropies)
        yield _bytes(first)
        yield _costs(first, entropies.astype(np.float64))
        for number in range(1, FILES):
            shutil.copy(first, folder / f"{number}.parquet")
        yield from _processes(sorted(folder.glob("*.parquet")))


def _written(path: Path, entropies: np.ndarray) -> Path:
    ends = np.arange(0, len(entropies) + 1, TOKENS, dtype=np.int32)
    table = pa.table({"entropy": pa.ListArray.from_arrays(ends, pa.array(entropies))})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, row_group_size=100)
    return path


def _swept(files: list[Path], workers: int) -> None:
    with tempfile.TemporaryDirectory(dir=files[0].parent) as out:
        sweep(jobs_of([(file, Path(out) / file.name) for file in files], Lists()), workers, lambda _: None)


def _bytes(file: Path) -> Case:
    tokens = ROLLOUTS * TOKENS
    return Case(
        "bytes of a token in a Parquet list",
        {"on disk": lambda: file.stat().st_size / tokens, "as float32": lambda: 4.0},
        [at_most("on disk", "as float32", 1.0)],
        gauge=value,
        unit="bytes",
        rounds=1,
    )


def _costs(file: Path, flat: FloatArray) -> Case:
    lengths = [TOKENS] * ROLLOUTS
    return Case(
        "27 settings from a Parquet file of lists",
        {"ours": lambda: _swept([file], 1), "score_many alone": lambda: score_many(flat, lengths=lengths)},
        [at_most("ours", "score_many alone", 1.4)],
        rounds=5,
        seconds=40,
        per=ROLLOUTS * TOKENS,
    )


def _processes(files: list[Path]) -> Iterator[Case]:
    arms: dict[str, Arm] = {"one process": partial(_swept, files, 1), "two": partial(_swept, files, 2)}
    per = FILES * ROLLOUTS * TOKENS
    yield Case(
        "CPU time of a sweep in two processes",
        arms,
        [at_most("two", "one process", 1.15)],
        gauge=_with_children,
        rounds=3,
        seconds=1,
        per=per,
    )
    yield Case(
        "a sweep in two processes",
        arms,
        [at_least("one process", "two", 1.7)],
        wall_seconds,
        rounds=3,
        seconds=1,
        per=per,
    )


def _with_children(arm: Arm) -> float:
    """CPU time of this process and of those that it started."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    return cpu_seconds(arm) + spent() - before
