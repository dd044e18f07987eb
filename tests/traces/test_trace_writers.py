"""Several processes write to one file at once; one is killed; nothing is lost, and nothing is half there."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from ec_agent import HEPConfig, Selection, TraceError, TraceStore, Trajectory
from ec_agent.rollouts.best_of_n import BestOfNResult
from ec_agent.rollouts.selection import CandidateReceipt

PROCESSES, EACH = 4, 25


def result(tokens=2000):
    candidates = tuple(CandidateReceipt(i, 0.5, 0.5, None, tokens, tokens, 1, 1, 0, 1.0, 0.1) for i in (0, 1))
    usage = {"prompt_tokens": 1, "cached_tokens": 0, "generated_tokens": 2 * tokens}
    selection = Selection(0, (0, 1), candidates, 0.0, "lowest_centroid", HEPConfig(), 2, usage)
    trajectory = Trajectory.from_entropies([0.5] * tokens)
    return BestOfNResult(None, selection, (trajectory, trajectory), ("a", "b"))


def write(path, name, times, pause=0.0):
    for number in range(times):
        with TraceStore(path, create=True) as store:
            store.record(result(), name=f"{name} {number}")
        time.sleep(pause)


def test_processes_write_side_by_side_and_one_is_killed(tmp_path):
    path = tmp_path / "new" / "traces.db"  # which each of them may have to make
    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=write, args=(path, f"writer {i}", EACH)) for i in range(PROCESSES)]
    victim = forked.Process(target=write, args=(path, "victim", 10_000))
    for process in (*writers, victim):
        process.start()
    deadline = time.monotonic() + 60
    while not (path.exists() and named(path, "victim")) and time.monotonic() < deadline:
        time.sleep(0.01)
    victim.kill()
    for process in (*writers, victim):
        process.join(60)
    assert [process.exitcode for process in writers] == [0] * PROCESSES
    assert victim.exitcode == -9
    assert {name for name in named(path, "") if "victim" not in name} == {
        f"writer {i} {number}" for i in range(PROCESSES) for number in range(EACH)
    }
    with TraceStore(path) as store:
        for kept in store.selections():
            assert [len(rollout.trajectory) for rollout in store.rollouts(selection=kept.id)] == [2000, 2000]
        assert store._database.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._database.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store._database.connection.execute("PRAGMA foreign_key_check").fetchall() == []


def named(path, prefix):
    try:
        with TraceStore(path) as store:
            return [kept.name for kept in store.selections() if kept.name.startswith(prefix)]
    except TraceError:  # its tables are being made
        return []


def test_a_reader_is_not_held_up_by_a_writer(tmp_path):
    write(tmp_path / "traces.db", "one", 1)
    with TraceStore(tmp_path / "traces.db") as writing, TraceStore(tmp_path / "traces.db", timeout=0.05) as reading:
        writing._database.connection.execute("BEGIN IMMEDIATE")
        assert len(list(reading.rollouts())) == 2
        with pytest.raises(TraceError, match="which other processes use the file"):
            reading.compact()
        writing._database.connection.execute("ROLLBACK")
        reading.compact()


def test_a_file_that_cannot_be_written_can_be_read(tmp_path):
    write(tmp_path / "traces.db", "one", 1)
    with TraceStore(tmp_path / "traces.db") as store:
        store._database.connection.execute("PRAGMA query_only = ON")
        assert len(list(store.selections())) == 1
        with pytest.raises(TraceError, match="cannot be written"):
            store.record(result())
