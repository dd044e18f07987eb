"""The trace file as a file: full disks, locks, damage, another file. What every store does is in the contract."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from stored_rollouts import SETTINGS, TASKS, rollout

from ec_agent.errors import ConfigError, TraceError
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.traces.sql.store import TraceStore
from ec_agent.traces.stored import VERSION, Key


def call(*entropies, **more):
    surprisal = np.array([1 / 3, *[0.5] * (len(entropies) - 1)]) if entropies else np.empty(0)
    return Call(np.array(entropies, dtype=float), signals={"surprisal": surprisal}, **more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "run.db"


@pytest.fixture
def store(path):
    with TraceStore(path, create=True) as store:
        store.begin(SETTINGS, TASKS)
        yield store


def test_an_unstorable_rollout_leaves_no_row(store):
    odd = Trajectory([call(0.1, texts=("a", "b")), call(0.2)])
    object.__setattr__(odd.calls[1], "capability", object())  # SQLite refuses it
    with pytest.raises(TraceError, match="store only objects that ec_agent made"):
        store.add(rollout(trajectory=odd))
    for table in ("rollouts", "calls", "timelines"):
        assert store._database.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_full_disk_is_said_and_loses_nothing(store):
    assert store.add(rollout(number=0))
    (pages,) = store._database.connection.execute("PRAGMA page_count").fetchone()
    store._database.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    long = Trajectory([Call(np.full(50_000, 0.5))])
    with pytest.raises(TraceError, match=r"cannot be written \(database or disk is full\)"):
        store.add(rollout(number=1, trajectory=long))
    assert store.keys() == {Key("a", "sample", 0)}
    store._database.connection.execute("PRAGMA max_page_count = 1000000")
    assert store.add(rollout(number=1, trajectory=long))


def test_a_file_that_another_holds_for_too_long(store, path):
    with TraceStore(path, timeout=0.05) as other:
        store._database.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(TraceError, match=r"cannot be written \(database is locked\)"):
            other.add(rollout())
        store._database.connection.execute("COMMIT")
        assert other.add(rollout())


def test_damaged_pages_are_reported_by_writers_and_readers(store, path):
    store.add(rollout())
    store.compact()
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with TraceStore(path) as again:
        for attempt in (lambda: again.add(rollout(number=1)), lambda: list(again.rollouts()), again.keys, again.totals):
            with pytest.raises(TraceError, match="damaged"):
                attempt()


@pytest.mark.parametrize(
    ("create", "words"),
    [(False, "cannot be read: its list of tables is .*malformed"), (True, "is not a trace file .*malformed")],
)
def test_a_damaged_list_of_tables_is_reported_at_opening(store, path, create, words):
    for number in range(40):  # more tables than the first page has room for
        store._database.connection.execute(
            f"CREATE TABLE more_{number} (a_column_with_a_long_name_that_takes_room TEXT)"
        )
    store.compact()
    store.close()
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with pytest.raises(TraceError, match=f"run.db {words}"):
        TraceStore(path, create=create)


@pytest.mark.parametrize("timeout", [-1, "x", None, True, float("nan")], ids=repr)
def test_a_senseless_timeout_is_refused(path, timeout):
    with pytest.raises(ConfigError, match=r"timeout is .*0 or more"):
        TraceStore(path, create=True, timeout=timeout)


def test_deleting_failed_rollouts_leaves_no_row(store):
    store.add(rollout(number=0, error="ValueError: x", verdict=0.0))
    store.add(rollout(number=1))
    store.forget_failed()
    for table, rows in (("calls", 3), ("timelines", 4)):
        kept = store._database.connection.execute(f"SELECT count(*), count(DISTINCT rollout) FROM {table}").fetchone()
        assert kept == (rows, 1)


def test_costs_count_once_if_failed_rollouts_stay(store):
    store.add(rollout(number=0, error="ValueError: x", verdict=0.0))
    before = store.costs()
    store._database.connection.execute(
        "CREATE TRIGGER no BEFORE DELETE ON rollouts BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(TraceError):
        store.forget_failed()
    assert (store.costs(), store.keys()) == (before, {Key("a", "sample", 0)})


def test_an_error_that_is_no_unicode_is_kept(store):
    store.add(rollout(error="bad \ud800", verdict=0.0))
    assert store.failures()[0][1] == "bad \\ud800"


def test_a_question_that_is_no_text_is_refused(store):
    store._database.connection.execute("UPDATE tasks SET question = x'07'")
    with pytest.raises(TraceError, match="question"):
        store.asked()


def test_another_file_is_refused(tmp_path):
    with pytest.raises(TraceError, match="there is no file"):
        TraceStore(tmp_path / "none.db")
    text = tmp_path / "text.db"
    text.write_text("hello, this is no database at all, and long enough to be one" * 20)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE x (y)")
    for create in (False, True):
        with pytest.raises(TraceError, match="is not a trace file"):
            TraceStore(text, create=create)
        with pytest.raises(TraceError, match="is a database, but not a trace file"):
            TraceStore(other, create=create)
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="file is empty; give"):
        TraceStore(tmp_path / "file")
    with pytest.raises(TraceError, match="the folder of"):
        TraceStore(tmp_path / "file" / "run.db", create=True)
    with pytest.raises(TraceError, match="cannot be opened"):
        TraceStore(tmp_path, create=True)


def test_a_file_that_cannot_be_read(path):
    TraceStore(path, create=True).close()
    path.with_name("run.db-wal").mkdir()  # in the place of SQLite's own
    with pytest.raises(TraceError, match=r"run.db cannot be read \(.*\); check its permissions"):
        TraceStore(path)


@pytest.mark.parametrize(("version", "words"), [(VERSION + 1, "update ec_agent"), (0, "into a new file")])
def test_a_file_of_another_version_is_refused(path, version, words):
    TraceStore(path, create=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    for create in (False, True):
        with pytest.raises(
            TraceError, match=f"has tables of version {version}, .* writes version {VERSION}; .*{words}"
        ):
            TraceStore(path, create=create)
