"""``ec-agent score --sweep`` of Parquet files: which files there are, where their results go, how far it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ec_agent.bulk.lists import arrow, columns_of
from ec_agent.cli.sweep import progress_bar
from ec_agent.cli.sweep_summary import SweepSummary
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.many_timelines import SWEEP
from ec_agent.support.checks import is_file, is_folder
from ec_agent.support.number_formats import many

SUFFIX = ".parquet"


def is_parquet(file: Path) -> bool:
    """Tell whether what was named is for this module: a folder, a pattern, or a Parquet file."""
    return is_folder(file) or file.suffix == SUFFIX or (has_magic(str(file)) and not is_file(file))


def run_parquet_sweep(
    named: Sequence[Path], out: Path | None, *, workers: int | None, fresh: bool, as_json: bool, **lists: Any
) -> None:
    """Score every rollout of the files under every setting, and print what each setting makes of them.

    Args:
        named: Parquet files, folders that hold some, and patterns.
        out: the folder of the results. ``None`` means one beside the folder that holds all files.
        workers: number of processes. ``None`` means 1.
        fresh: whether results that are there are made anew.
        as_json: print JSON objects instead of a table.
        lists: fields of ``ec_agent.bulk.parquet_lists.Lists``. ``None`` means the default.

    Raises:
        ConfigError: pyarrow is missing, or ``out`` holds the results of something else, or cannot be written.
        LogprobsError: there is no file, one cannot be read, or no rollout can be scored.
    """
    arrow()
    from ec_agent.bulk.parquet_lists import Lists
    from ec_agent.bulk.sweeping import jobs_of, sweep

    base = Path(os.path.commonpath([_base_of(each) for each in named]))
    out = _out_of(base, out)
    of_each = Lists(**{name: value for name, value in lists.items() if value is not None})
    found = [{path for path in _files_of(each) if not path.is_relative_to(out)} for each in named]
    for each, of_name in zip(named, found, strict=True):
        if not of_name:
            where = "in it" if is_folder(each) else "of that name"
            raise LogprobsError(
                f"{each}: there is no file {where} that ends in {SUFFIX}; name Parquet files, or folders that have some"
            )
    files = sorted(set().union(*found))
    jobs = jobs_of([(path, out / path.relative_to(base)) for path in files], of_each, fresh=fresh)
    with progress_bar() as bar:
        done = sum(job.values for job in jobs if job.done)
        task = bar.add_task(many(len(jobs), "file"), total=sum(job.values for job in jobs), completed=done)
        sweep(jobs, workers or 1, lambda values: bar.advance(task, values))
    summary = SweepSummary()
    for job in jobs:
        for part in _centroids(job.out):
            summary.add(part)
    ends = list(accumulate(job.rows for job in jobs))

    def place_of(rollout: int) -> dict[str, Any]:
        at = int(np.searchsorted(ends, rollout, side="right"))
        before = ends[at - 1] if at else 0
        return {"file": str(jobs[min(at, len(jobs) - 1)].path.relative_to(base)), "row": rollout - before}

    if not summary.any_scored:
        raise LogprobsError(f"{base}: no rollout could be scored under any setting; the files have no entropies")
    summary.show(place_of, as_json=as_json)
    if not as_json:
        print(f"all centroids: {out}, {many(len(jobs), 'file')}, columns {columns_of(SWEEP)[0]} ...", file=sys.stderr)


def _base_of(named: Path) -> Path:
    """Return the folder that all files of this name are in: of a pattern, the part before what is a pattern."""
    plain = named
    if not (is_folder(named) or is_file(named)):
        while has_magic(str(plain)):
            plain = plain.parent
    if plain is named and not is_folder(named):
        plain = named.parent
    return Path(os.path.abspath(plain))


def _files_of(named: Path) -> Iterator[Path]:
    if is_folder(named) or is_file(named) or not has_magic(str(named)):
        found = [named]
    else:
        found = [Path(each) for each in glob(str(named), recursive=True)]
        found = [each for each in found if each.suffix == SUFFIX or is_folder(each)]
    for each in found:
        absolute = Path(os.path.abspath(each))
        yield from _within(absolute) if is_folder(absolute) else [absolute]


def _within(folder: Path) -> Iterator[Path]:
    for path in folder.rglob(f"*{SUFFIX}"):
        # Other programs mark what is no data so: _temporary, .part-0.parquet.crc
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts):
            yield path


def _out_of(base: Path, out: Path | None) -> Path:
    if out is None:
        if not base.name:
            raise ConfigError(f"the files are in {base}, beside which there is no place; name a folder with --out")
        return base.with_name(f"{base.name}.sweep")
    absolute = Path(os.path.abspath(out))
    if base.is_relative_to(absolute):
        raise ConfigError(f"--out is {out}, which holds the files to be read; name another folder")
    return absolute


def _centroids(out: Path) -> Iterator[np.ndarray[Any, np.dtype[np.float64]]]:
    import pyarrow.parquet as pq

    from ec_agent.bulk.arrow_numbers import floats_of

    with out.open("rb") as source, pq.ParquetFile(source) as file:
        if file.num_row_groups:  # pyarrow before 20 does not iterate over none
            for batch in file.iter_batches(4096, columns=columns_of(SWEEP), use_threads=False):
                yield np.stack([floats_of(column) for column in batch.columns], axis=1)
