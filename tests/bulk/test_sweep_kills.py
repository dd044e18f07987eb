"""A sweep that is killed or loses a worker: finished files stay, nothing half is there, no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from bulk_files import folder_of, own, results, sweep

CHILD = Path(__file__).with_name("sweep_child.py")


def waited_for(what, seconds=120.0):
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.05)
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.members(1)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", ["the run is killed", "the run is interrupted", "a worker is killed", "in one process"])
def test_what_was_stopped_goes_on_with_unfinished_files_alone(tmp_path, how):
    folder, out = tmp_path / "timelines", tmp_path / "timelines.sweep"
    rows = folder_of(folder, files=4)
    workers = 1 if how == "in one process" else 2
    run = subprocess.Popen(
        [sys.executable, CHILD, folder, str(workers)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        waited_for(lambda: (out / "part-0.parquet").exists() or run.poll() is not None)
        waited_for(lambda: len(list(tmp_path.glob("held-*"))) == workers or run.poll() is not None)
        assert run.poll() is None, run.stderr.read()
        before = (out / "part-0.parquet").stat().st_mtime_ns
        pids = [int(each.name.removeprefix("held-")) for each in tmp_path.glob("held-*")]
        if how == "a worker is killed":
            os.kill(pids[0], signal.SIGKILL)
        elif how == "the run is interrupted":
            os.killpg(run.pid, signal.SIGINT)  # as Ctrl-C does
        else:
            run.kill()
        said = run.communicate(timeout=120)[1]
        waited_for(lambda: not any(map(alive, pids)))
    finally:
        with_group_killed(run)
    assert "Traceback" not in said
    if how == "a worker is killed":
        assert "a worker process was killed" in said
        assert "give the command again" in said
    killed = how in ("the run is killed", "in one process")
    assert [path.name for path in out.glob("*.parquet")] == ["part-0.parquet"]
    assert len(list(out.glob("*.part"))) == (workers if killed else 0)
    assert sweep(folder).exception is None
    assert sorted(path.name for path in out.iterdir()) == sorted(rows)
    assert {name: results(out / name) for name in rows} == {name: own(each) for name, each in rows.items()}
    assert (out / "part-0.parquet").stat().st_mtime_ns == before


def with_group_killed(run):
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
