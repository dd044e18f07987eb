"""Stores to lay an overlay on, an embedding that counts letters, and what is in a store."""

from __future__ import annotations

import asyncio
import sqlite3

from langgraph.store.base import BaseStore, SearchOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

EVERY = 1000
NOTES = ("user", "notes")


def embed(texts):
    """Letters counted: texts that share more of them are closer."""
    return [[1.0 + text.count(letter) for letter in "abcdef"] for text in texts]


async def aembed(texts):
    await asyncio.sleep(0)
    return embed(texts)


def in_memory(embed=None):
    return InMemoryStore(index={"dims": 6, "embed": embed, "fields": ["text"]} if embed else None)


def in_sqlite(embed=None, ttl=None):
    index = {"dims": 6, "embed": embed, "text_fields": ["text"]} if embed else None
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    store = SqliteStore(connection, index=index, ttl=ttl)
    store.setup()
    return store


class Joined(BaseStore):
    """Searches by meaning as databases do: what has no vector is left out; paths of texts under a key of its own."""

    def __init__(self, embed):
        self.rows = in_memory(embed)
        self.index_config = {key: value for key, value in self.rows.index_config.items() if key != "fields"}

    def batch(self, ops):
        ops = list(ops)
        results = self.rows.batch(ops)
        ranked = [isinstance(op, SearchOp) and op.query for op in ops]
        return [
            [item for item in result if item.score is not None] if some else result
            for some, result in zip(ranked, results, strict=True)
        ]

    async def abatch(self, ops):
        return self.batch(ops)


class Recording(BaseStore):
    """Has nothing, and remembers what it was asked."""

    def __init__(self, index=None):
        self._store = {"not": "a store"}
        self.index_config = index
        self.asked = []

    def batch(self, ops):
        ops = list(ops)
        self.asked += ops
        return [[] for _ in ops]

    async def abatch(self, ops):
        return self.batch(ops)


def content(store):
    """All values, by namespace and key."""
    return {(item.namespace, item.key): item.value for item in store.search((), limit=EVERY)}


def keys(items):
    return [item.key for item in items]
