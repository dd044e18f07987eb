"""Questions on Ray that commit, and whose workers, nodes or driver are killed meanwhile. For ``ray_long_form.py``."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import ray_commits

HERE = Path(__file__).parent
LINES = 11  # that a question notes if nobody disturbs it: three stretches of three rollouts, and two acts
SILENT = 300.0  # seconds after which a driver that notes nothing is taken for hung
UNDER_WAY = 0.25  # seconds: a little less than a rollout takes after its line, so that a kill hits it


class Asked:
    """A driver of questions, in a process of its own, and what is noted of them."""

    def __init__(self, home, address, count):
        self.home, self.log, self.seen = home, home / "log", 0
        self._words = [sys.executable, "-W", "ignore", str(HERE / "ray_commits.py"), address, str(home), str(count)]
        paths = [str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")]
        self._environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def start(self):
        with (self.home / "said").open("a") as said:
            self.process = subprocess.Popen(self._words, cwd=self.home, env=self._environ, stdout=said, stderr=said)

    def noted(self):
        noted = self.log.read_text() if self.log.exists() else ""
        return [line.split() for line in noted[: noted.rfind("\n") + 1].splitlines()]  # the last may not be whole yet

    def wait(self, more):
        """Wait for more lines than there were; the last of them that a worker wrote, or ``None`` at the end.

        The driver writes some, too: there the winner's next step begins after an act, and ends where it asks its model.
        """
        self.seen += more
        until, there = time.monotonic() + SILENT, -1
        while len(lines := self.noted()) < self.seen:
            if self.process.poll() is not None:
                return None
            if len(lines) > there:
                until, there = time.monotonic() + SILENT, len(lines)
            assert time.monotonic() < until, f"nothing was noted in {SILENT:g} s: {self.errors()}"
            time.sleep(0.01)
        self.seen = len(lines)
        own = str(self.process.pid)
        return next(line for line in reversed(lines) if line[0] == "call" and line[-1] != own)

    def errors(self):
        return (self.home / "said").read_text()[-2000:]


def kills_of_questions(home, cluster, count):
    """Kills of workers, of nodes and of drivers; questions go on, and what their winners do is done once."""
    total = Counter()
    for what, kill in (("workers", _kill_worker), ("nodes", _kill_node), ("drivers", _kill_driver)):
        place = home / what
        place.mkdir()
        seen = _killed(place, cluster, -(-count // 3), kill)
        print(f"questions whose {what} are killed: {', '.join(f'{n} {of}' for of, n in seen.items())}")
        total += seen
    return total


def _killed(home, cluster, count, kill):
    moments, kills = random.Random(str(home)), 0
    with Asked(home, cluster.address, count) as asked:
        while kills < count and (line := asked.wait(moments.randint(2, LINES - 2))) is not None:
            time.sleep(moments.uniform(0, UNDER_WAY))
            kills += kill(asked, cluster, line)
        asked.process.wait(SILENT)
        status = asked.process.returncode
        assert status == 0, f"the driver ended with {status}: {asked.errors()}"
        return Counter(kills=kills) + told(asked.noted(), count)


def _kill_worker(asked, cluster, line):
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(line[-1]), signal.SIGKILL)
        return 1
    return 0


def _kill_node(asked, cluster, line):
    cluster.kill_a_node(line[-2])
    return 1


def _kill_driver(asked, cluster, line):
    if asked.process.poll() is not None:
        return 0
    asked.process.kill()
    asked.process.wait()
    asked.start()
    return 1


def told(lines, count):
    """What the log tells of so many questions.

    Raises:
        AssertionError: something was done twice, a question has no end, or one that was answered has not done all.
    """
    did = Counter((question, " ".join(what)) for kind, question, *what in lines if kind == "did")
    calls = Counter(tuple(line[1:4]) for line in lines if line[0] == "call")
    ends = {question: (kind, " ".join(what)) for kind, question, *what in lines if kind in ("answered", "uncertain")}
    twice = [what for what, times in did.items() if times > 1]
    assert not twice, f"committed twice: {twice}"
    assert ends.keys() == set(map(str, range(count))), f"{len(ends)} of {count} questions have an end"
    answered = [question for question, (kind, _) in ends.items() if kind == "answered"]
    for question in answered:
        assert ends[question][1] == "answer 2", f"question {question}: {ends[question]}"
        assert {what for of, what in did if of == question} == set(ray_commits.ACTS), f"question {question}: {did}"
    return Counter({
        "questions answered": len(answered),
        "left uncertain": count - len(answered),
        "commits": did.total(),
        "begun again": calls.total() - len(calls),
    })  # fmt: skip
