"""``ec-agent score --sweep``: a file of entropies under all settings, a part at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from rich.progress import Progress

from ec_agent.cli.sweep_summary import SweepSummary
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.live.console import plain_console
from ec_agent.numbers.entropy_files import SUFFIXES, EntropyFile
from ec_agent.numbers.many_timelines import SWEEP, score_many

_SETTINGS = [config.to_dict() for config in SWEEP]
_ROW = 8 * len(SWEEP)


def run_sweep(file: Path, out: Path | None, *, fresh: bool, as_json: bool, max_rollout: int | None = None) -> None:
    """Score every rollout of a file under every setting, and print what each setting makes of them.

    Raises:
        ConfigError: ``out`` holds the results of something else.
        LogprobsError: the file cannot be read, or no rollout of it can be scored.
    """
    if file.suffix not in SUFFIXES:
        raise LogprobsError(
            f"--sweep reads entropies in .npz, .npy or Parquet files, or a folder of these, not {file}; "
            "`ec-agent score --help` says how they are written"
        )
    source = EntropyFile(file, max_rollout)
    out = out or file.with_suffix(".sweep.npy")
    if out.absolute() == file.absolute():
        raise ConfigError(f"--out is {out}, the file to be read; name another")
    with _results(out, source, fresh) as (results, done):
        with progress_bar() as bar:
            task = bar.add_task(file.name, total=source.tokens, completed=int(source.lengths[:done].sum()))
            for entropies, lengths in source.parts(done):
                try:
                    scores = score_many(entropies, SWEEP, lengths=lengths)
                except LogprobsError as error:
                    raise LogprobsError(f"{file}, after rollout {done}: {error}") from error
                results.write(scores.tobytes())
                results.flush()
                done += len(lengths)
                bar.advance(task, len(entropies))
        summary = _summary(results, len(source.lengths))
    if not summary.any_scored:
        raise LogprobsError(f"{file}: no rollout could be scored under any setting; it has no entropies")
    summary.show(lambda rollout: {"rollout": rollout}, as_json=as_json)
    if not as_json:
        print(f"all centroids: {out}, shape ({len(source.lengths)}, {len(SWEEP)})", file=sys.stderr)


@contextmanager
def _results(out: Path, source: EntropyFile, fresh: bool) -> Iterator[tuple[IO[bytes], int]]:
    """The file of results, ready for the next row, and how many rows it has."""
    stat = source.path.stat()
    about = {"file": source.path.name, "bytes": stat.st_size, "changed": stat.st_mtime_ns, "settings": _SETTINGS}
    beside = out.with_name(f"{out.name}.json")
    if out.exists() and not fresh:
        try:
            known = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            known = None
        if known != about:
            raise ConfigError(f"{out} holds something else than this sweep; name another with --out, or give --fresh")
        mode = "r+b"
    else:
        mode = "w+b"
        beside.write_text(json.dumps(about))
    with out.open(mode) as results:
        header = {"descr": "<f8", "fortran_order": False, "shape": (len(source.lengths), len(SWEEP))}
        np.lib.format.write_array_header_1_0(results, header)
        first = results.tell()
        # What was stopped in the middle of a row begins that row anew.
        done = max(results.seek(0, 2) - first, 0) // _ROW
        results.truncate(results.seek(first + done * _ROW))
        yield results, done


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on standard error, where somebody looks at a terminal."""
    console = plain_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


def _summary(results: IO[bytes], rollouts: int) -> SweepSummary:
    summary = SweepSummary()
    results.seek(-rollouts * _ROW, 2)
    for start in range(0, rollouts, 4096):
        rows = min(4096, rollouts - start)
        summary.add(np.frombuffer(results.read(rows * _ROW), "<f8").reshape(rows, len(SWEEP)))
    return summary
