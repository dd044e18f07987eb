"""An evaluation that is killed and resumed gives what an undisturbed one gives, and repeats nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from eval_fakes import contents, logged
from short_form import part_of

from ec_agent.evaluation.stored_results import load_results
from ec_agent.traces.sql.store import TraceStore

KILLS = part_of(12)
SETTINGS = {"n": 3, "concurrency": 3, "seed": 5}
TASKS = 6
TOTAL = TASKS * 4


class Parent:
    """The warmed process that the evaluations are forked from."""

    def __init__(self, home):
        here = Path(__file__).parent
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, str(here / "eval_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here)])},
        )

    def play(self, path, log, kill_after=None):
        """One process; its exit status."""
        self.begin(path, log, kill_after)
        return self.wait()

    def begin(self, path, log, kill_after=None):
        order = {"path": str(path), "log": str(log), "delay": 0.02, "tasks": TASKS, "settings": SETTINGS}
        self._process.stdin.write(json.dumps({**order, "kill_after": kill_after}) + "\n")
        self._process.stdin.flush()

    def wait(self):
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    parent = Parent(tmp_path_factory.mktemp("kills"))
    yield parent
    parent.close()


@pytest.fixture(scope="module")
def undisturbed(parent):
    path = parent.home / "undisturbed.db"
    assert parent.play(path, parent.home / "undisturbed.log") == 0
    begun = time.monotonic()
    assert parent.play(parent.home / "again.db", parent.home / "again.log") == 0
    seconds = time.monotonic() - begun
    found = contents(path)
    assert len(found) == TOTAL
    assert contents(parent.home / "again.db") == found, "the seeds decide all"
    return path, found, seconds


def stored(path):
    """The seeds of the rollouts that a file holds; none where a process was killed before it made one."""
    if not path.exists() or not path.stat().st_size:
        return set()
    with TraceStore(path, create=True) as store:
        return {r.seed for task in store.tasks() for kind in ("sample", "greedy") for r in store.rollouts(task, kind)}


def test_a_run_killed_at_random_moments_gives_the_same_tables(parent, undisturbed):
    whole_path, whole, seconds = undisturbed
    moments = random.Random("kills of evaluations")
    kills, runs, held = 0, 0, []
    while kills < KILLS:
        path, log = parent.home / f"run {runs}.db", parent.home / f"run {runs}.log"
        runs += 1
        status = None
        while status != 0:
            there, before = stored(path), len(logged(log))
            held.append(len(there))
            kill = moments.uniform(0, seconds) if kills < KILLS else None
            status = parent.play(path, log, kill)
            assert status in (0, -signal.SIGKILL)
            kills += status != 0
            assert not there & set(logged(log)[before:]), "a stored rollout was run again"
        assert contents(path) == whole
        same_results(load_results(path), load_results(whole_path))
    assert any(0 < count < TOTAL for count in held), "no kill fell into the middle of a run"


def same_results(left, right):
    assert [result.task for result in left] == [result.task for result in right]
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one.correct, other.correct)
        assert one.greedy == other.greedy
        for mine, its in zip(one.candidates, other.candidates, strict=True):
            np.testing.assert_array_equal(mine.trajectory.entropies, its.trajectory.entropies)


@pytest.mark.whole_form("a run that is killed at random moments is in the short form")
def test_two_processes_on_one_file_keep_each_rollout_once(parent, undisturbed, tmp_path):
    _, whole, _ = undisturbed
    other = Parent(tmp_path)
    try:
        path = tmp_path / "shared.db"
        for each in (parent, other):
            each.begin(path, tmp_path / "log")
        assert [each.wait() for each in (parent, other)] == [0, 0]
        assert contents(path) == whole
        assert set(logged(tmp_path / "log")) == {row[1] for row in whole}
    finally:
        other.close()
