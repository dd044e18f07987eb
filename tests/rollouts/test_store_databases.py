"""Over a database an overlay keeps to the database's own ways: its order, its namespaces, its ttl, its loop."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.store.sqlite import AsyncSqliteStore
from stores import NOTES, in_memory, in_sqlite, keys

from ec_agent.rollouts.store_overlay import StoreOverlay, put_ops


def test_database_order_and_namespaces_are_kept():
    below = in_sqlite()
    for namespace in [("a",), ("a", "b"), ("a-b",)]:
        below.put(namespace, "k", {"n": 1})
    overlay = StoreOverlay(below)
    overlay.delete(("a",), "k")
    overlay.put(("c",), "passing", {})
    overlay.delete(("c",), "passing")
    assert overlay.list_namespaces() == [("a-b",), ("a", "b")]  # sorted as joined texts
    overlay.put(("a", "b"), "first", {"n": 1})
    overlay.put(("a", "b"), "second", {"n": 1})
    assert keys(overlay.search(("a",))) == ["second", "first", "k"]
    below.put(("a",), "l", {})
    assert ("a",) in overlay.list_namespaces()


def test_ttl_is_the_stores_own():
    below = in_sqlite(ttl={"default_ttl": 30, "refresh_on_read": False})
    overlay = StoreOverlay(below)
    overlay.put(NOTES, "default", {})
    overlay.put(NOTES, "short", {}, ttl=5)
    assert [write[4] for write in overlay.writes] == [30, 5]
    below.batch(put_ops(overlay.writes))
    rows = below.conn.execute("SELECT key, ttl_minutes FROM store ORDER BY key").fetchall()
    assert rows == [("default", 30), ("short", 5)]
    with pytest.raises(NotImplementedError, match="TTL is not supported"):
        StoreOverlay(in_memory()).put(NOTES, "k", {}, ttl=5)


def test_listing_namespaces_does_not_refresh_a_ttl():
    below = in_sqlite(ttl={"refresh_on_read": True})
    below.put(NOTES, "k", {}, ttl=5)
    below.put(NOTES, "l", {}, ttl=5)
    below.conn.execute("UPDATE store SET expires_at = '2000-01-01'")
    overlay = StoreOverlay(below)
    overlay.delete(NOTES, "k")
    overlay.list_namespaces()
    assert below.conn.execute("SELECT DISTINCT expires_at FROM store").fetchall() == [("2000-01-01",)]


async def test_an_asynchronous_database():
    async with AsyncSqliteStore.from_conn_string(":memory:") as below:
        await below.setup()
        await below.aput(NOTES, "k", {"n": 1})
        overlay = StoreOverlay(below)
        await overlay.aput(NOTES, "l", {"n": 2})
        await overlay.adelete(NOTES, "k")
        assert await overlay.aget(NOTES, "k") is None
        assert keys(await overlay.asearch(NOTES)) == ["l"]
        assert keys(await below.asearch(NOTES)) == ["k"]
        assert await asyncio.to_thread(overlay.list_namespaces) == [NOTES]
        await below.abatch(put_ops(overlay.writes))
        assert keys(await below.asearch(NOTES)) == ["l"]
