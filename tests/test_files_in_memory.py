"""What a killed run left in memory is removed by the next one, and nothing that is in use."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import files_in_memory
import pytest
from files_in_memory import NAME, forget_what_was_killed

HOLDS = "import sys, files_in_memory; files_in_memory.hold(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def left_in(memory, name, age=3600):
    folder = memory / name
    folder.mkdir()
    (folder / "file").write_text("left")
    time = folder.stat().st_mtime - age
    os.utime(folder, (time, time))
    return folder


def test_a_folder_is_removed_when_the_run_that_held_it_was_killed(tmp_path):
    folder = left_in(tmp_path, f"{NAME}held")
    words = [sys.executable, "-c", HOLDS, str(folder)]
    with Popen(words, cwd=Path(__file__).parent, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        forget_what_was_killed(tmp_path)
        assert (folder / "file").exists()
        process.kill()
    forget_what_was_killed(tmp_path)
    assert not folder.exists()


def test_new_folders_and_those_of_others_stay(tmp_path):
    kept = [left_in(tmp_path, f"{NAME}new", age=0), left_in(tmp_path, "ec-agent-of-somebody")]
    gone = left_in(tmp_path, f"{NAME}old")
    forget_what_was_killed(tmp_path)
    assert [folder.exists() for folder in (*kept, gone)] == [True, True, False]


class Config:
    """What pytest gives its hooks."""

    def __init__(self):
        self.cleanups = []

    def add_cleanup(self, cleanup):
        self.cleanups.append(cleanup)


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """A function that settles with this much room in memory; the place for temporary files afterwards."""
    config = Config()

    def settle(room):
        monkeypatch.delenv("TMPDIR", raising=False)
        monkeypatch.setattr(files_in_memory.tempfile, "tempdir", None)
        monkeypatch.setattr(files_in_memory, "MEMORY", tmp_path / "shm")
        monkeypatch.setattr(files_in_memory, "ROOM", room)
        files_in_memory.settle(config)
        place = os.environ.get("TMPDIR")
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # put back at the end, whatever was set here
        return place

    yield settle
    for cleanup in config.cleanups:
        cleanup()
    assert not list(tmp_path.glob("shm/*"))


def test_where_there_is_no_memory_or_little_the_place_stays(settled, tmp_path):
    assert settled(0) is None
    (tmp_path / "shm").mkdir()
    assert settled(1 << 62) is None
    assert Path(settled(0)).parent == tmp_path / "shm"
