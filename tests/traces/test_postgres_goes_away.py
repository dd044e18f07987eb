"""A server that goes away while a store is open: what is lost is said, and nothing is stored twice."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from pg_proxy import Proxy
from stored_rollouts import SETTINGS, TASKS, rollout
from test_store_contract import selected

from ec_agent import TraceError, TraceStore
from ec_agent.traces.stored import Key


@pytest.fixture
def proxy(postgres):
    with tempfile.TemporaryDirectory(prefix="pgx-", dir="/tmp") as folder:
        proxy = Proxy(Path(folder), postgres, f"s_{uuid4().hex}")
        yield proxy
        proxy.close()


@pytest.fixture
def store(proxy):
    with TraceStore(proxy.url, create=True, timeout=5) as store:
        store.begin(SETTINGS, TASKS)
        yield store


def add(store):
    assert store.add(rollout()) is True
    return [(each.key.number, len(each.trajectory)) for each in store.rollouts("a")] == [(0, 5)]


def record(store):
    number = store.record(selected(), name="one")
    return [(kept.id, kept.name) for kept in store.selections()] == [(number, "one")]


def begin(store):
    store.begin(SETTINGS, TASKS)
    store.amend({"seed": 1})
    return store.settings() == {**SETTINGS, "seed": 1}


def read(store):
    return (store.keys(), list(store.rollouts()), store.totals()[0].task) == (set(), [], "b")


WORK = {"add": add, "record": record, "begin": begin, "read": read}


@pytest.mark.parametrize("what", WORK)
def test_a_connection_that_was_cut_before_is_made_again(store, proxy, what):
    proxy.cut()
    assert WORK[what](store)


@pytest.mark.parametrize("what", ["add", "record"])
@pytest.mark.parametrize(
    ("when", "piece"),
    [
        ("cut_before", b"BEGIN"),
        ("cut_before", b"INSERT INTO rollouts"),
        ("cut_after", b"INSERT INTO rollouts"),
        ("cut_after", b"INSERT INTO calls"),
        ("cut_after", b"INSERT INTO timelines"),
        ("cut_before", b"COMMIT"),
        ("cut_after", b"COMMIT"),
    ],
)
def test_what_is_written_while_it_is_cut_is_stored_once(store, proxy, what, when, piece):
    setattr(proxy, when, piece)
    proxy.times = 1
    assert WORK[what](store)
    assert (proxy.times, proxy.cuts) == (0, 1)


def test_it_is_cut_again_and_again(store, proxy):
    proxy.cut_after, proxy.times = b"COMMIT", 3
    for number in range(3):
        assert store.add(rollout(number=number))
    assert store.keys() == {Key("a", "sample", number) for number in range(3)}


def test_a_server_that_ends_sessions_in_order(store, proxy, postgres):
    with psycopg.connect(postgres, autocommit=True) as direct:
        ended = direct.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'ec_agent'"
        ).fetchone()
    assert ended == (1,)
    assert add(store)


def test_a_server_that_comes_back_in_time(store, proxy):
    proxy.away = True
    proxy.cut()
    back = threading.Timer(1.0, lambda: setattr(proxy, "away", False))
    back.start()
    begun = time.monotonic()
    assert add(store)
    assert time.monotonic() - begun > 0.9


def test_a_server_that_stays_away_is_told_with_what_was_lost(store, proxy):
    assert store.add(rollout())
    store._database._timeout = 0.3
    proxy.away = True
    proxy.cut()
    with pytest.raises(TraceError, match=r"went away, and is not back after 0.3 s .*what was being written was not"):
        store.add(rollout(number=1))
    with pytest.raises(TraceError, match="went away"):
        store.keys()
    proxy.away = False
    assert store.keys() == {Key("a", "sample", 0)}


def test_nobody_knows_what_a_server_that_stays_away_committed(store, proxy):
    store._database._timeout = 0.3
    proxy.cut_after, proxy.times = b"COMMIT", 1
    real = proxy.cut

    def cut_for_good():
        proxy.away = True
        real()

    proxy.cut = cut_for_good
    with pytest.raises(TraceError, match=r"nobody knows whether what was written last is stored; .*repeat the command"):
        store.add(rollout())
    proxy.away = False
    assert store.add(rollout()) is False  # it was


def test_another_store_in_its_place_is_not_written_to(store, proxy):
    proxy.cut()
    with psycopg.connect(proxy.url.partition("&schema=")[0], autocommit=True) as direct:
        schema = proxy.url.rpartition("=")[2]
        direct.execute(f"DROP SCHEMA {schema} CASCADE")
    TraceStore(proxy.url, create=True).close()
    proxy.cut()
    with pytest.raises(TraceError, match="was deleted and made anew while it was open"):
        store.record(selected())
