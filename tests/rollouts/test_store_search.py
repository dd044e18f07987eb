"""Search by meaning, across a store and the overlay on it."""

from __future__ import annotations

import sqlite3

import pytest
from langgraph.store.base.batch import AsyncBatchedBaseStore
from stores import NOTES, Joined, Recording, aembed, embed, in_memory, in_sqlite, keys

from ec_agent.rollouts.store_overlay import StoreOverlay


@pytest.mark.parametrize("embedder", [embed, aembed])
async def test_asynchronous_search_by_meaning(embedder):
    below = in_memory(embedder)
    await below.aput(NOTES, "far", {"text": "ffff"})
    await below.aput(NOTES, "near", {"text": "aaab"})
    overlay = StoreOverlay(below)
    await overlay.aput(NOTES, "nearest", {"text": "aaaa"})
    await overlay.aput(NOTES, "mute", {"text": "aaaa"}, index=False)
    await overlay.adelete(NOTES, "far")
    found = await overlay.asearch(NOTES, query="aaaa")
    assert keys(found) == ["nearest", "near", "mute"]
    assert [found[0].score, found[2].score] == [pytest.approx(1), None]
    assert keys(await overlay.asearch(NOTES, query="aaaa", limit=1, offset=1)) == ["near"]


LOADS_EXTENSIONS = hasattr(sqlite3.Connection, "enable_load_extension")


@pytest.mark.parametrize(
    "make",
    [Joined, pytest.param(in_sqlite, marks=pytest.mark.skipif(not LOADS_EXTENSIONS, reason="sqlite-vec cannot load"))],
)
def test_a_database_ranks_only_items_with_vectors(make):
    below, alone = make(embed), make(embed)
    for store in (below, alone):
        for key, text in {"far": "ffff", "near": "aaab", "gone": "aaaa"}.items():
            store.put(NOTES, key, {"text": text, "other": "bbbb"})
    overlay = StoreOverlay(below)
    for store in (overlay, alone):
        store.put(NOTES, "nearest", {"text": "aaaa", "other": "cccc"})
        store.put(NOTES, "mute", {"text": "aaaa"}, index=False)
        store.delete(NOTES, "gone")
    ours, theirs = overlay.search(NOTES, query="aaaa"), alone.search(NOTES, query="aaaa")
    assert keys(ours) == keys(theirs) == ["nearest", "near", "far"]
    assert [item.score for item in ours] == pytest.approx([item.score for item in theirs], abs=1e-6)


def test_each_text_is_embedded_once():
    seen = []

    def counting(texts):
        seen.extend(texts)
        return embed(texts)

    overlay = StoreOverlay(in_memory(counting))
    overlay.put(NOTES, "k", {"text": "abc"})
    assert seen == ["abc"]
    seen.clear()
    overlay.search(NOTES, query="def")
    assert seen.count("def") == 2  # once here, once in the store below


async def test_a_wrapped_store_sets_index_and_order():
    class Wrapper(AsyncBatchedBaseStore):
        def __init__(self, store):
            super().__init__()
            self._store = store

        def batch(self, ops):
            return self._store.batch(ops)

        async def abatch(self, ops):
            return await self._store.abatch(ops)

    below = in_memory(embed)
    below.put(NOTES, "near", {"text": "aaab"})
    overlay = StoreOverlay(Wrapper(below))
    await overlay.aput(NOTES, "nearest", {"text": "aaaa"})
    assert keys(await overlay.asearch(NOTES, query="aaaa")) == ["nearest", "near"]
    assert keys(await overlay.asearch(NOTES)) == ["near", "nearest"]


def test_a_store_with_another_store_attribute():
    overlay = StoreOverlay(Recording({"dims": 6, "embed": embed, "fields": ["text"]}))
    overlay.put(NOTES, "far", {"text": "ffff"})
    overlay.put(NOTES, "near", {"text": "aaaa"})
    overlay.put(NOTES, "farther", {"text": "ffffff"})
    assert keys(overlay.search(NOTES, query="aaaa")) == ["near", "far", "farther"]
