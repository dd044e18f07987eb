"""Kills, races and deliveries in large numbers.

    .venv/bin/python tests/chaos/long_form.py [--kills 50] [--races 300] [--runs 1000]

Prints a table of each, and every law that was broken with the seed of its run; the exit code is 1 if there is any.
"""

# ruff: noqa: E402  # the folders that are imported from come first

from __future__ import annotations

import argparse
import contextlib
import itertools
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import chaos_deliveries
import chaos_harness
import chaos_races
import pytest
from chaos_child import PLACES
from chaos_harness import Case, Mode, Worker
from chaos_races import Race
from postgres import running_postgres
from sinks import smtp_sink

LATE = 0.05
# Of "copies" the second is the promotion.
COMMITS = {"route": 1, "execute": 1, "continue": 2, "world": 1, "copies": 2, "waves": 2, "cancel": 1}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=50, help="at random moments, for each mode")
    arguments.add_argument("--races", type=int, default=300, help="of processes for one thread, over all modes")
    arguments.add_argument("--runs", type=int, default=1000, help="with faults, one delivery each")
    arguments.add_argument("--seed", default=str(int(time.time())), help="of everything that is drawn")
    arguments.add_argument("--jobs", type=int, default=2, help="kills side by side")
    arguments.add_argument("--only", default="", help="modes whose name has this in it")
    given = arguments.parse_args()
    warnings.simplefilter("ignore")
    print(f"seed {given.seed}")
    broken: list[str] = []
    if given.kills:
        begun = time.monotonic()
        for title, cases in kills(given.kills, given.seed, given.jobs, given.only).items():
            print(f"\n{title}\n{chaos_harness.table(cases)}")
            broken += [str(case) for case in cases if case.broken]
        print(f"{time.monotonic() - begun:.0f} s")
    if given.races:
        begun = time.monotonic()
        found = races(given.races, given.seed, given.only)
        print(f"\nRaces\n{chaos_races.table(found)}\n{time.monotonic() - begun:.0f} s")
        broken += [str(race) for race in found if race.broken]
    if given.runs:
        begun = time.monotonic()
        with smtp_sink() as sink:
            runs = chaos_deliveries.deliver_all((f"{given.seed}-{i}" for i in range(given.runs)), sink)
        print(f"\nDeliveries\n{chaos_deliveries.table(runs)}\n{time.monotonic() - begun:.0f} s")
        broken += [str(run) for run in runs if run.broken]
    for each in broken:
        print(f"\nBROKEN: {each}")
    print(f"\n{len(broken)} broken" if broken else "\nall laws kept")
    return 1 if broken else 0


def kills(count: int, seed: str, jobs: int, only: str) -> dict[str, list[Case]]:
    """At random moments, ``count`` kills for each mode; at exact places, once for each; with durability "exit"."""

    def random_kills(mode: Mode) -> Callable[[Worker], list[Case]]:
        def play(worker: Worker) -> list[Case]:
            cases: list[Case] = []
            while sum(case.kills for case in cases) < count:
                cases.append(chaos_harness.kill_at_random(worker, mode, f"{seed}-{len(cases)}"))
            return cases

        return play

    def exact_kills(mode: Mode) -> Callable[[Worker], list[Case]]:
        places = itertools.product(PLACES, range(1, COMMITS[mode.variant] + 1), ("raise", "retry"), (0.0, LATE))
        return lambda worker: [
            chaos_harness.kill_at(worker, mode, place, on_uncertain, count=nth, late=late, settle=late == 0)
            for place, nth, on_uncertain, late in places
            if not late or mode.durability == "async"
        ]

    with databases() as (savers, uri):
        modes = [mode for mode in chaos_harness.modes(savers) if only in str(mode)]
        exit_modes = [mode for mode in chaos_harness.modes(["sqlite"], ["exit"]) if only in str(mode)]
        with workers(jobs, uri) as run:
            found = {
                "Killed at random moments": [run(random_kills(mode)) for mode in modes],
                "Killed at exact places": [run(exact_kills(mode)) for mode in modes if mode.variant in COMMITS],
                'Durability "exit", which promises little': [run(random_kills(mode)) for mode in exit_modes],
            }
            return {
                title: [case for future in futures for case in future.result()]
                for title, futures in found.items()
                if futures
            }


def races(count: int, seed: str, only: str) -> list[Race]:
    """So many races, the modes in turn."""
    with databases() as (savers, uri), chaos_races.racing(uri) as racers:
        modes = [mode for mode in chaos_races.MODES if mode.saver in savers and only in str(mode)]
        turns = itertools.islice(itertools.cycle(modes), count)
        return [chaos_races.race(racers, mode, f"{seed}-{number}") for number, mode in enumerate(turns)]


@contextlib.contextmanager
def databases() -> Iterator[tuple[list[str], str | None]]:
    """The savers that can be had, and where PostgreSQL is."""
    with contextlib.ExitStack() as stack:
        try:
            uri = stack.enter_context(running_postgres())
        except pytest.skip.Exception as missing:
            print(f"without PostgreSQL: {missing}")
            yield ["sqlite"], None
        else:
            yield ["sqlite", "postgres"], uri


@contextlib.contextmanager
def workers(jobs: int, uri: str | None) -> Iterator[Callable]:
    """A function that has one of several workers play something."""
    idle: queue.Queue[Worker] = queue.Queue()
    lock = threading.Lock()
    with contextlib.ExitStack() as stack:
        for _ in range(jobs):
            idle.put(stack.enter_context(chaos_harness.working(uri)))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))

        def played(play: Callable[[Worker], list[Case]]) -> list[Case]:
            worker = idle.get()
            try:
                cases = play(worker)
            finally:
                idle.put(worker)
            with lock:
                broken = sum(bool(case.broken) for case in cases)
                print(f"{cases[0].mode}: {len(cases)}, {broken} broken", file=sys.stderr)
            return cases

        yield lambda play: pool.submit(played, play)


if __name__ == "__main__":
    sys.exit(main())
