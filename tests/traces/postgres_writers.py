"""How much faster four processes write a store on PostgreSQL than one does.

    python tests/traces/postgres_writers.py

starts a server, has one process and four store the same number of rollouts in turns, and prints the ratio of the times.
A rollout has 10,000 tokens with texts and five signals. The server writes to its disk before it says so, as servers do,
and so the ratio says something of the disk, too; ``--no-fsync`` leaves that out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

from postgres import running_postgres  # noqa: E402
from stored_rollouts import SETTINGS, TASKS, rollout  # noqa: E402

from benchmarks.harness import Case, at_least, run, wall_seconds  # noqa: E402
from benchmarks.report import lines  # noqa: E402
from ec_agent.numbers.trajectory import Call, Trajectory  # noqa: E402
from ec_agent.traces.sql.store import TraceStore  # noqa: E402

TOKENS, SIGNALS = 10_000, ("surprisal", "margin", "top", "varentropy")

mine: dict[str, TraceStore] = {}
"""The store of a writing process, which opens it once."""


def trajectory() -> Trajectory:
    """Of as many tokens, each with a text, an entropy and four more signals."""
    drawn = np.random.default_rng(0)
    signals = {name: drawn.random(TOKENS) for name in SIGNALS}
    return Trajectory([Call(drawn.random(TOKENS), signals=signals, texts=tuple(f"t{n % 997}" for n in range(TOKENS)))])


def write(url: str, numbers: range) -> int:
    """Store rollouts of these numbers, and return how many there were."""
    if url not in mine:
        mine[url] = TraceStore(url)
        mine["trajectory"] = trajectory()
    return sum(mine[url].add(rollout(number=number, trajectory=mine["trajectory"])) for number in numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=80, help="that are stored in a turn, a multiple of 4")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-fsync", action="store_true", help="the server does not wait for its disk")
    given = parser.parse_args()
    numbers, spawned = itertools.count(0, given.rollouts), get_context("spawn")
    with (
        running_postgres(fsync=not given.no_fsync) as server,
        ProcessPoolExecutor(1, spawned) as one,
        ProcessPoolExecutor(4, spawned) as four,
    ):
        url = f"{server}&schema=written"
        with TraceStore(url, create=True) as store:
            store.begin(SETTINGS, TASKS)

        def stored(pool: ProcessPoolExecutor, writers: int) -> None:
            first, each = next(numbers), given.rollouts // writers
            parts = [range(begin, begin + each) for begin in range(first, first + given.rollouts, each)]
            assert sum(pool.map(write, itertools.repeat(url), parts)) == given.rollouts

        arms = {"one writer": lambda: stored(one, 1), "four": lambda: stored(four, 4)}
        claims = [at_least("one writer", "four", 1.6)]
        case = Case(f"{given.rollouts} rollouts", arms, claims, wall_seconds, rounds=given.rounds, seconds=300)
        result = run(case)
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {result.rounds} rounds")
    for name, spread in result.measures.items():
        print(f"{name}: {given.rollouts / spread.median:.0f} rollouts a second")
    print("\n".join(lines(result)))


if __name__ == "__main__":
    main()
