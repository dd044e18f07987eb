"""Files that hold what users and models said are made for their owner alone, side files too; others keep theirs."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing

import pytest
from click.testing import CliRunner
from langchain.agents import create_agent

from ec_agent import SQLiteCopies, SQLiteJournal, TraceStore, best_of_n, live
from ec_agent.cli.app import app
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.parquet import export_parquet

pytestmark = pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def folder(request, tmp_path):
    before = os.umask(request.param)
    yield tmp_path
    os.umask(before)


@pytest.fixture(scope="module")
def result():
    scripts = [[Reply("a", entropies=[2.0, 0.1, 0.1])], [Reply("b", entropies=[0.1, 0.1, 2.0])]]
    return best_of_n(create_agent(ScriptedChatModel(scripts), []), n=2, keep_text=True).run({"messages": "q"})


def rights(folder):
    return {
        str(file.relative_to(folder)): stat.S_IMODE(file.stat().st_mode) for file in folder.rglob("*") if file.is_file()
    }


def traces(folder, result):
    with TraceStore(folder / "runs" / "traces.db", create=True) as store:
        store.record(result)
        assert {"runs/traces.db-wal", "runs/traces.db-shm"} <= set(rights(folder))
        yield
    with closing(sqlite3.connect(folder / "runs" / "traces.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE selections SET name = 'x'")
        assert "runs/traces.db-journal" in rights(folder)
        yield


def journal(folder, result):
    SQLiteJournal(folder / "commits.db").claim("key", 0, {"tool": "send"})
    yield


def live_log(folder, result):
    with live.log(folder / "events.jsonl") as on_event:
        on_event({"type": "ec_agent.x", "said": "secret"})
        yield


def parquet(folder, result):
    with TraceStore(folder / "traces.db", create=True) as store:
        store.record(result)
        export_parquet(store, folder / "tables")
    yield


def reports(folder, result):
    with TraceStore(folder / "traces.db", create=True) as store:
        store.record(result)
    done = CliRunner().invoke(app, ["report", str(folder / "traces.db"), "--html", str(folder / "page.html")])
    assert done.exception is None
    assert (folder / "page.html").exists()
    yield


def copies(folder, result):
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
    (folder / "shop.db").chmod(0o600)
    (folder / "copies").mkdir()
    world = SQLiteCopies(folder / "shop.db", directory=folder / "copies")
    with world(0, None) as copy, closing(copy.connect()) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        assert len(rights(folder)) == 3  # the database, its copy, the copy's journal
        yield


@pytest.mark.parametrize("made", [traces, journal, live_log, parquet, reports, copies])
def test_what_is_made_is_its_owners_alone(folder, result, made):
    for _ in made(folder, result):
        assert set(rights(folder).values()) == {0o600}, rights(folder)


def test_what_was_there_keeps_its_rights(folder, result):
    names = ("traces.db", "commits.db", "events.jsonl", "page.html")
    for name in names:
        (folder / name).touch()
        (folder / name).chmod(0o664)
    with TraceStore(folder / "traces.db", create=True) as store:
        store.record(result)
    SQLiteJournal(folder / "commits.db").claim("key", 0, {"tool": "send"})
    with live.log(folder / "events.jsonl"):
        pass
    CliRunner().invoke(app, ["report", str(folder / "traces.db"), "--html", str(folder / "page.html")])
    assert {name: rights(folder)[name] for name in names} == dict.fromkeys(names, 0o664)


def test_a_promoted_copy_leaves_the_database_its_rights(folder):
    database = folder / "shop.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
    database.chmod(0o644)
    world = SQLiteCopies(database)
    with world(0, None) as copy:
        with closing(copy.connect()) as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            connection.commit()
        world.promote(copy)
    assert stat.S_IMODE(database.stat().st_mode) == 0o644


def test_a_file_behind_a_link_is_private_too(folder):
    (folder / "real").mkdir()
    (folder / "traces.db").symlink_to(folder / "real" / "file.db")
    TraceStore(folder / "traces.db", create=True).close()
    assert rights(folder)["real/file.db"] == 0o600


def test_json_and_csv_of_a_report(folder):
    from ec_agent.cli.files import written

    for name in ("numbers.json", "rows.csv", "page.html"):
        written(folder / name, json.dumps({"said": "secret"}))
    assert set(rights(folder).values()) == {0o600}
