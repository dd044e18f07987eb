"""Files of older versions, as users have them, are brought up; newer ones are refused."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ec_agent import TraceError, TraceStore
from ec_agent.traces.stored import VERSION, Asked, Key

DATA = Path(__file__).parent / "data"
OLDER = range(1, VERSION)


@pytest.fixture(params=OLDER)
def old(request, tmp_path):
    """A file that the code of that version wrote: the run of ``test_trace_store``, with one failure."""
    return Path(shutil.copy(DATA / f"version_{request.param}.db", tmp_path / "old.db"))


def layout(path):
    """Tables and columns, as far as they are behaviour: a column's default is not, for no row is written without it."""
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: (
                [(*row[:4], row[5]) for row in connection.execute(f"PRAGMA table_info({name})")],
                connection.execute(f"PRAGMA foreign_key_list({name})").fetchall(),
                [row[2:] for row in connection.execute(f"PRAGMA index_list({name})")],
            )
            for name in names
        }


def version_of(path):
    with sqlite3.connect(path) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_every_older_version_has_its_file():
    for version in OLDER:
        assert version_of(DATA / f"version_{version}.db") == version


@pytest.mark.parametrize("create", [False, True])
def test_an_older_file_is_read_and_written_on(old, create):
    with TraceStore(old, create=create) as store:
        assert store.keys() == {
            Key("a", "sample", 0),
            Key("a", "sample", 1),
            Key("a", "greedy", 0),
            Key("b", "sample", 0),
        }
        first, second = store.rollouts("a")
        assert (first.verdict, first.seed, len(first.trajectory), first.final_action.content) == (0.5, 5, 5, "done")
        assert first.trajectory.calls[0].texts == ("a", "\ud83d", "é")
        assert second.error == "ValueError: x"
        assert store.forget_failed() == 1
        assert store.add(second)
        assert store.settings() == {"n": 2, "seed": 0, "greedy": False}
        assert list(store.tasks()) == ["b", "a"]
        assert store.asked() == {"b": Asked(), "a": Asked()}  # nobody wrote them down
    assert version_of(old) == VERSION


def test_it_ends_with_the_tables_of_a_new_file(old, tmp_path):
    TraceStore(old).close()
    TraceStore(tmp_path / "new.db", create=True).close()
    assert layout(old) == layout(tmp_path / "new.db")


def test_a_broken_file_stays_as_it_was(old):
    with sqlite3.connect(old) as connection:
        connection.execute("DELETE FROM tasks WHERE task = 'a'")
    before = version_of(old), layout(old)
    with pytest.raises(TraceError, match=r"cannot be brought to version .* restore it from a copy"):
        TraceStore(old)
    assert (version_of(old), layout(old)) == before


@pytest.mark.whole_form("three processes; test_trace_writers.py has several that write one file")
def test_several_processes_migrate_at_once(old):
    code = f"from ec_agent import TraceStore\nwith TraceStore({str(old)!r}) as s: print(len(s.keys()))"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0] for process in running] == ["4\n"] * 3
