"""Scores Parquet files in several processes: one file of results for each, so that a run that was killed goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa

from ec_agent.bulk.parquet_lists import ListFile, Lists, forget_parts, made_of, score_file
from ec_agent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SweepJob:
    """A file to score.

    Attributes:
        path: the file.
        out: the file of its results.
        lists: which lists of it.
        rows: number of its rows.
        values: number of values in its lists.
        done: whether the results are there already.
    """

    path: Path
    out: Path
    lists: Lists
    rows: int
    values: int
    done: bool


def jobs_of(files: Sequence[tuple[Path, Path]], lists: Lists, *, fresh: bool = False) -> list[SweepJob]:
    """Check all files, and find out which have their results.

    Args:
        files: each file with the file of its results.
        lists: which lists of them.
        fresh: whether results that are there are made anew.

    Raises:
        LogprobsError: a file cannot be read, or has no such lists.
        ConfigError: a file of results holds something else.
    """
    jobs = []
    for path, out in files:
        file = ListFile(path, lists)
        there = out.exists() and not fresh
        if there and made_of(out) != file.about:
            raise ConfigError(
                f"{out} holds something else than the results of {path} as it is now; name another folder with --out, "
                "or give --fresh"
            )
        jobs.append(SweepJob(path, out, lists, file.rows, file.values, there))
    return jobs


def sweep(jobs: Sequence[SweepJob], workers: int, advance: Callable[[int], None]) -> None:
    """Score the files that have no results yet.

    Args:
        jobs: the files.
        workers: number of processes. With 1, or for one file, it is done in this process.
        advance: is told how many values more are done, at least once for each file.

    Raises:
        LogprobsError: a file cannot be read. Results of other files stay.
        ConfigError: results cannot be written, or a process was killed.
    """
    todo = [job for job in jobs if not job.done]
    forget_parts(job.out for job in todo)
    try:
        _sweep(todo, workers, advance)
    except BaseException:
        forget_parts(job.out for job in todo)  # of processes that were ended
        raise


def _sweep(todo: Sequence[SweepJob], workers: int, advance: Callable[[int], None]) -> None:
    if workers == 1 or len(todo) == 1:
        for job in todo:
            _score(job, partial(_advance, advance, job))
        return
    with _processes(min(workers, len(todo))) as pool:
        running: dict[Future[None], SweepJob] = {pool.submit(_score, job): job for job in todo}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise ConfigError(
                        "a worker process was killed, perhaps because memory was short; finished files are kept: give "
                        "the command again, with fewer --workers"
                    ) from error
                advance(job.values)


def _advance(advance: Callable[[int], None], job: SweepJob, rows: int) -> None:
    advance(rows * job.values // job.rows)


def _score(job: SweepJob, advance: Callable[[int], None] = lambda _: None) -> None:
    score_file(ListFile(job.path, job.lists), job.out, advance)


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes. They end when the block is left by an error, or this process ends, even if it is killed."""
    context = get_context("spawn")  # a fork would copy locks that threads of Arrow hold
    listening, alive = context.Pipe(duplex=False)
    with listening, ProcessPoolExecutor(count, context, _begin, (listening,)) as pool:
        try:
            yield pool
        except BaseException:
            alive.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            alive.close()


def _begin(listening: Connection) -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    pa.set_cpu_count(1)
    threading.Thread(target=_end_with, args=(listening,), daemon=True).start()


def _end_with(listening: Connection) -> None:
    try:
        listening.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
