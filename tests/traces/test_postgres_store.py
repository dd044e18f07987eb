"""PostgreSQL as a store: what else is in the database, several writers, versions, URLs and their passwords."""

from __future__ import annotations

import multiprocessing
import re
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from stored_rollouts import FULL, SETTINGS, TASKS, rollout

from ec_agent import ConfigError, TraceError, TraceStore
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.support.extras import installing
from ec_agent.traces import stored
from ec_agent.traces.opening import is_there
from ec_agent.traces.postgres import schema as tables
from ec_agent.traces.stored import Key

SECRET = "s3cret-word"


@pytest.fixture
def schema():
    return f"s_{uuid4().hex}"


@pytest.fixture
def url(postgres, schema):
    return f"{postgres}&schema={schema}"


@pytest.fixture
def direct(postgres):
    """The server itself, beside the store."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(url):
    with TraceStore(url, create=True) as store:
        store.begin(SETTINGS, TASKS)
        yield store


def message_of(caught):
    """All that a person or a log sees of an error."""
    return "".join(traceback.format_exception(caught.value))


# The database


def test_other_tables_are_left_alone(direct, schema, url):
    direct.execute("CREATE TABLE IF NOT EXISTS public.theirs (x int)")
    direct.execute(f"CREATE SCHEMA {schema}")
    direct.execute(f"CREATE TABLE {schema}.run (name text)")  # with a name that ours has, too
    before = tables.tables_in(direct, "public")
    for place in (url, url.replace(schema, "public")):
        for create in (False, True):
            with pytest.raises(TraceError, match=r"has tables of something else, such as '(run|theirs)'; give"):
                TraceStore(place, create=create)
    assert tables.tables_in(direct, schema) == {"run"}
    assert tables.tables_in(direct, "public") == before


def test_a_deleted_store_leaves_what_others_made_in_its_schema(direct, schema, url):
    TraceStore(url, create=True).close()
    direct.execute(f"CREATE TABLE {schema}.later (x int)")
    TraceStore(url).delete()
    assert tables.tables_in(direct, schema) == {"later"}
    direct.execute(f"DROP TABLE {schema}.later")
    TraceStore(url, create=True).delete()
    assert direct.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone() == (None,)


def test_an_empty_schema_that_somebody_made_is_used(direct, schema, url):
    direct.execute(f'CREATE SCHEMA "{schema}"')
    with TraceStore(url, create=True) as store:
        assert store.keys() == set()


@pytest.mark.parametrize("name", ["Ünï codé", 'a"b', "select", "A" * 63])
def test_a_schema_may_have_any_name(postgres, direct, name):
    from urllib.parse import quote

    url = f"{postgres}&schema={quote(name)}"
    with TraceStore(url, create=True) as store:
        store.begin(SETTINGS, TASKS)
        assert store.add(rollout())
    TraceStore(url).delete()
    assert not is_there(url)


@pytest.mark.parametrize("name", ["", "pg_mine", "A" * 64, "%00"])
def test_a_schema_that_cannot_be_is_refused(postgres, name):
    with pytest.raises(ConfigError, match="schema"):
        TraceStore(f"{postgres}&schema={name}", create=True)


def test_without_a_schema_it_has_ours(postgres):
    from postgres import new_database

    with new_database(postgres) as url, TraceStore(url, create=True) as store, psycopg.connect(url) as direct:
        store.begin(SETTINGS, TASKS)
        assert tables.tables_in(direct, "ec_agent") == set(tables.TABLES)


def test_a_store_that_somebody_has_open_is_not_deleted(store, url):
    with pytest.raises(TraceError, match=r"cannot be deleted .*; end other processes that use it"):
        TraceStore(url).delete()
    assert store.add(rollout())


def test_a_store_is_deleted_though_the_server_has_not_ended_the_closed_connection(postgres, url, schema):
    TraceStore(url, create=True).close()
    lock = "pg_advisory_{}lock_shared(hashtextextended(%s, 0))"
    with psycopg.connect(postgres, autocommit=True) as ending:
        ending.execute(f"SELECT {lock.format('')}", [schema])
        later = threading.Timer(0.2, ending.execute, [f"SELECT {lock.format('un')}", [schema]])
        later.start()
        TraceStore(url).delete()
        later.join()
    assert not is_there(url)


def test_a_store_that_was_made_anew_is_noticed(store, url, direct, schema):
    direct.execute(f"DROP SCHEMA {schema} CASCADE")
    with pytest.raises(TraceError, match="was deleted or changed"):
        store.add(rollout())
    TraceStore(url, create=True).close()
    with pytest.raises(TraceError, match="was deleted and made anew"):
        store.see_in_place()


def test_a_role_without_rights_is_told(direct, store, url, schema):
    role = f"r_{uuid4().hex}"
    direct.execute(f"CREATE ROLE {role} LOGIN")
    guest = url.replace("postgres@", f"{role}@", 1)
    with pytest.raises(TraceError, match=r"permission denied|there is no trace store"):
        TraceStore(guest)
    with pytest.raises(TraceError, match=r"permission denied for database .*your rights"):
        TraceStore(guest.replace(schema, f"{schema}_more"), create=True)
    direct.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    direct.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
    store.add(rollout())
    with TraceStore(guest) as read_only:
        assert read_only.keys() == {Key("a", "sample", 0)}
        with pytest.raises(TraceError, match="permission denied"):
            read_only.add(rollout(number=1))


def test_the_character_0_is_kept_readable(store):
    odd = Trajectory([replace(FULL.calls[0], model="m\0m", texts=("\0", "b"))])
    assert store.add(rollout(trajectory=odd, error="no\0", verdict=0.0))
    (back,) = store.rollouts("a")
    assert (back.error, back.trajectory.calls[0].model) == ("no\\x00", "m\\x00m")
    assert back.trajectory.calls[0].texts == ("\0", "b")  # JSON holds it
    with pytest.raises(TraceError, match="nothing was stored"):
        store.reopened().begin({}, {"a\0": "mark"}) if not store.settings() else store.add(rollout(task="a\0"))


# Versions


def test_an_older_store_is_brought_up_and_a_newer_one_refused(store, url, direct, schema, monkeypatch):
    store.add(rollout(trajectory=Trajectory([])))
    store.close()
    direct.execute(f"ALTER TABLE {schema}.calls DROP COLUMN beside")
    direct.execute(f"ALTER TABLE {schema}.tasks DROP COLUMN question")
    direct.execute(f"DROP TABLE {schema}.timelines CASCADE")
    direct.execute(f"CREATE TABLE {schema}.unrelated (x int)")  # of somebody who added to it
    direct.execute(f"UPDATE {schema}.store SET version = {stored.VERSION - 1}")
    (before,) = direct.execute(f"SELECT identity FROM {schema}.store").fetchall()
    with TraceStore(url) as again:
        assert again.keys() == {Key("a", "sample", 0)}
        assert again.asked()["a"].question is None
        assert again.add(rollout(number=1))
        assert [len(each.trajectory) for each in again.rollouts("a") if each.key.number == 1] == [5]
    assert direct.execute(f"SELECT * FROM {schema}.store").fetchall() == [(stored.VERSION, *before)]
    direct.execute(f"UPDATE {schema}.store SET version = {stored.VERSION + 1}")
    with pytest.raises(TraceError, match=rf"has tables of version {stored.VERSION + 1}, .*update ec_agent"):
        TraceStore(url)


# Several writers


def write(url, name, times):
    with TraceStore(url, create=True) as store:
        store.begin(SETTINGS, TASKS)
        for number in range(times):
            store.add(rollout(number=number, final_action=name))


def test_processes_make_and_fill_one_store_at_once(url):
    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=write, args=(url, f"writer {i}", 30)) for i in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(120)
    assert [each.exitcode for each in writers] == [0, 0, 0]
    with TraceStore(url) as store:
        kept = list(store.rollouts("a"))
        assert [each.key.number for each in kept] == list(range(30))
        assert all(len(each.trajectory.calls) == 3 for each in kept)
        assert list(store.tasks()) == list(TASKS)


def test_a_writer_that_waits_too_long_is_told(store, url, direct, schema):
    with TraceStore(url, timeout=0.2) as other, direct.transaction():
        direct.execute(f"LOCK TABLE {schema}.rollouts IN SHARE MODE")
        with pytest.raises(TraceError, match=r"cannot be written \(.*lock timeout.*which other processes use it"):
            other.add(rollout())
        assert other.keys() == set()  # who reads does not wait
    assert store.add(rollout())


def test_a_forked_process_has_a_connection_of_its_own(store):
    def child(number):
        try:
            store.add(rollout(number=number))
        finally:
            store.close()

    forked = multiprocessing.get_context("fork")
    children = [forked.Process(target=child, args=(number,)) for number in (1, 2)]
    for each in children:
        each.start()
    for each in children:
        each.join(60)
    assert store.add(rollout(number=0))
    assert store.keys() == {Key("a", "sample", number) for number in range(3)}


def test_another_thread_is_refused(store):
    caught = []

    def elsewhere():
        with pytest.raises(TraceError, match="in the thread that opened it") as error:
            store.add(rollout())
        caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(60)
    assert len(caught) == 1


# URLs


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/db",
        f"postgresql://me:{SECRET}@127.0.0.1:1,127.0.0.1:2/db?connect_timeout=2",
        f"postgres://127.0.0.1:1/db?user=me&password={SECRET}",
        f"postgresql://me:{SECRET}@no-such-host.invalid/db",
        f"postgresql://me:{SECRET}%zz@127.0.0.1:1/db",
        f"postgresql://me:{SECRET}@{SECRET}@127.0.0.1:1/db",
        f"postgresql://me:{SECRET}/more@127.0.0.1:1/db",
        f"postgresql://me:{SECRET}@127.0.0.1:port/db",
        f"postgresql://me:{SECRET}@127.0.0.1:1/db?nonsense=1",
        f"postgresql://me:{SECRET}@127.0.0.1:1/db?schema=pg_x",
        f"postgresql://me:a?{SECRET}@127.0.0.1:1/db",
    ],
)
@pytest.mark.parametrize("do", [lambda url: TraceStore(url, create=True), is_there], ids=["open", "is_there"])
def test_a_password_is_in_no_message(url, do):
    with pytest.raises((ConfigError, TraceError)) as caught:
        do(url)
    assert SECRET not in message_of(caught)
    assert "postgres" in str(caught.value)


def test_a_server_that_nobody_runs_is_told_at_once(tmp_path):
    with pytest.raises(TraceError, match=r"cannot be reached \(.*check that the server runs"):
        TraceStore(f"postgresql://me@/db?host={tmp_path}")


def test_a_database_that_is_not_there(postgres):
    with pytest.raises(TraceError, match=r"cannot be reached .*does not exist.*the database exists"):
        TraceStore(postgres.replace("/postgres?", "/none?"), create=True)


def test_a_name_has_no_password_and_opens_it_again(url):
    with TraceStore(url.replace("postgres@", f"postgres:{SECRET}@", 1), create=True) as store:
        assert store.name == url
        with TraceStore(store.name) as again, store.reopened() as third:
            assert again.name == third.name == url
        with pytest.raises(TraceError, match="is no file"):
            _ = store.path


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("mysql://me@host/db", "there is no trace store for mysql://"),
        ("postgresql+psycopg://me@host/db", r"there is no trace store for postgresql\+psycopg://"),
        (Path("postgresql://me@host/db"), "a URL was made a Path"),
    ],
)
def test_urls_of_other_things_are_refused(place, words):
    with pytest.raises(ConfigError, match=words):
        TraceStore(place)


def test_without_psycopg_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for do in (TraceStore, is_there):
        with pytest.raises(ConfigError, match=re.escape(f"needs psycopg; run: {installing('ec-agent[postgres]')}")):
            do("postgresql://me@host/db")
