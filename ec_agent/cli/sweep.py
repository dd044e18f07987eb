"""``ec-agent score --sweep``: a file of entropies under all settings, a part at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.progress import Progress
from rich.table import Table

from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.live.console import plain_console
from ec_agent.numbers.entropy_files import SUFFIXES, EntropyFile
from ec_agent.numbers.many_timelines import SWEEP, score_many
from ec_agent.numbers.phases import HEPConfig
from ec_agent.support.strict_json import strict_json

_SETTINGS = [config.to_dict() for config in SWEEP]
_ROW = 8 * len(SWEEP)


def run_sweep(file: Path, out: Path | None, *, fresh: bool, as_json: bool, max_rollout: int | None = None) -> None:
    """Score every rollout of a file under every setting, and print what each setting makes of them.

    Raises:
        ConfigError: ``out`` holds the results of something else.
        LogprobsError: the file cannot be read, or no rollout of it can be scored.
    """
    if file.suffix not in SUFFIXES:
        raise LogprobsError(f"--sweep reads a file of entropies, .npz or .npy, not {file}; see docs/speed.md")
    source = EntropyFile(file, max_rollout)
    out = out or file.with_suffix(".sweep.npy")
    if out.absolute() == file.absolute():
        raise ConfigError(f"--out is {out}, the file to be read; name another")
    with _results(out, source, fresh) as (results, done):
        with _progress() as bar:
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
        rows = list(_summaries(results, len(source.lengths)))
    if as_json:
        for row in rows:
            print(strict_json(row))
    else:
        plain_console().print(_table(rows, len(source.lengths)))
        print(f"all centroids: {out}, shape ({len(source.lengths)}, {len(SWEEP)})", file=sys.stderr)
    if not any(row["scored"] for row in rows):
        raise LogprobsError(f"{file}: no rollout could be scored under any setting; it has no entropies")


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
def _progress() -> Iterator[Progress]:
    console = plain_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


def _summaries(results: IO[bytes], rollouts: int) -> Iterator[dict[str, Any]]:
    scored = np.zeros(len(SWEEP), np.int64)
    total = np.zeros(len(SWEEP))
    lowest = np.full(len(SWEEP), np.inf)
    place = np.full(len(SWEEP), -1)
    results.seek(-rollouts * _ROW, 2)
    for start in range(0, rollouts, 4096):
        rows = min(4096, rollouts - start)
        part = np.frombuffer(results.read(rows * _ROW), "<f8").reshape(rows, len(SWEEP))
        here = ~np.isnan(part)
        scored += here.sum(axis=0)
        total += np.where(here, part, 0.0).sum(axis=0)
        filled = np.where(here, part, np.inf)
        best = filled.argmin(axis=0)
        least = filled[best, range(len(SWEEP))]
        place = np.where(least < lowest, best + start, place)
        lowest = np.minimum(least, lowest)
    for column, settings in enumerate(_SETTINGS):
        count = int(scored[column])
        yield {
            **settings,
            "scored": count,
            "mean": float(total[column] / count) if count else None,
            "lowest": float(lowest[column]) if count else None,
            "lowest_rollout": int(place[column]) if count else None,
        }


def _table(rows: Sequence[dict[str, Any]], rollouts: int) -> Table:
    table = Table(title=f"centroids of {rollouts} rollouts", title_justify="left")
    for name in ("top %", "bottom %", "low in a row", "scored", "mean", "lowest", "of rollout"):
        table.add_column(name, justify="right")
    usual = HEPConfig().to_dict()
    for row in rows:
        marked = all(row[name] == value for name, value in usual.items())
        numbers = [f"{row[key]:.4f}" if row["scored"] else "-" for key in ("mean", "lowest")]
        place = str(row["lowest_rollout"]) if row["scored"] else "-"
        settings = [f"{row['top_percent']:g}", f"{row['bottom_percent']:g}", str(row["consecutive_low"])]
        table.add_row(*settings, str(row["scored"]), *numbers, place, style="bold" if marked else None)
    return table
