"""What the driver of an evaluation holds in memory, with workers that do nothing but answer.

    python tests/evaluation/driver_memory.py 10 1000 folder

runs 10 tasks of 1000 rollouts, the store in that folder, and prints the most that the process held, in MB. It is one
number for a process, so another size needs a process of its own.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

from eval_fakes import tasks  # noqa: E402

from ec_agent.engines.base import Lost  # noqa: E402
from ec_agent.evaluation.run_settings import RunSettings  # noqa: E402
from ec_agent.evaluation.runner import evaluate  # noqa: E402
from ec_agent.evaluation.work import Ended  # noqa: E402
from ec_agent.numbers.trajectory import Call, Trajectory  # noqa: E402
from ec_agent.traces.stored import StoredRollout  # noqa: E402


class Answering:
    """An engine whose workers answer at once, and are no processes: what is left is the driver."""

    elsewhere, slots, lost, broken = False, 8, Lost(), False

    @asynccontextmanager
    async def opened(self, job):
        self.settings = job.arguments[1]
        yield self

    def prepared(self, task):
        return task

    async def run(self, prepared, key):
        await asyncio.sleep(0)
        return Ended(answer(key, self.settings))

    def stop(self, piece):
        raise AssertionError


def answer(key, settings):
    """A rollout of two calls, of which every other one is right."""
    calls = [Call(np.full(20, 0.1 + place)) for place in range(2)]
    return StoredRollout(
        key=key,
        seed=settings.seed_of(key),
        sampling=settings.sampling_of(key),
        trajectory=Trajectory(calls),
        final_action="right" if key.number % 2 else "wrong",
        verdict=float(key.number % 2),
        error=None,
        started=0.0,
        seconds=1.0,
        usage={"generated_tokens": 40},
    )


def nothing(state):
    """No agent: it is never asked."""
    raise AssertionError


def main(count, n, folder):
    asked = tasks(count)
    path = Path(folder, f"{count}-{n}.db")
    report = evaluate(asked, nothing, path, RunSettings(n=n, greedy=False), engine=Answering())
    assert report.finished
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{count} tasks of {n}: {report.stored} rollouts, {most / 1024:.1f} MB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
