"""A rollout's writes to the store stay in its overlay, which otherwise answers as the store itself would."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.base.batch import AsyncBatchedBaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import AsyncSqliteStore, SqliteStore

from ec_agent.rollouts.store import StoreOverlay, put_ops

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


BELOW = pytest.mark.parametrize("make", [in_memory, in_sqlite])


@pytest.fixture(params=["batch", "abatch"])
def do(request):
    """Runs operations of a store synchronously or asynchronously."""

    def sync(store, *ops):
        return store.batch(ops)

    def asynchronous(store, *ops):
        return asyncio.run(store.abatch(ops))

    return sync if request.param == "batch" else asynchronous


def content(store):
    return {(item.namespace, item.key): item.value for item in store.search((), limit=EVERY)}


def plain(result):
    """What must agree: everything but times."""
    if isinstance(result, list):
        return [plain(each) for each in result]
    if result is None or isinstance(result, tuple):
        return result
    return (type(result).__name__, result.namespace, result.key, result.value, getattr(result, "score", None))


def keys(items):
    return [item.key for item in items]


# -- the same as a store of one's own ------------------------------------------------------------------------

LABELS = st.sampled_from(["a", "b", "a-b"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
KEYS = st.sampled_from(["k", "l", "m"])
VALUES = st.fixed_dictionaries({"text": st.text("abcdef", max_size=5), "n": st.integers(0, 2)})
NONE = st.none()  # said of each option, or hypothesis makes some up
PUTS = st.builds(PutOp, NAMESPACES, KEYS, NONE | VALUES, NONE, NONE)
MATCHES = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), st.lists(LABELS | st.just("*"), max_size=2))
FILTERS = st.none() | st.fixed_dictionaries({"n": st.integers(0, 2) | st.fixed_dictionaries({"$gte": st.just(1)})})
PREFIXES = st.lists(LABELS, max_size=2).map(tuple)
READS = (
    st.builds(GetOp, NAMESPACES, KEYS)
    | st.builds(SearchOp, PREFIXES, FILTERS, st.integers(0, 6), st.integers(0, 4), NONE)
    | st.builds(
        ListNamespacesOp,
        st.none() | st.lists(MATCHES, max_size=2).map(tuple),
        st.none() | st.integers(1, 3),
        st.integers(0, 6),
        st.integers(0, 3),
    )
)
BATCHES = st.lists(st.lists(PUTS | READS, max_size=5), max_size=8)
MANY = settings(max_examples=300, deadline=None)


def agree(make, loaded, batches, **index):
    """Run the batches on a store and on an overlay of its twin; all results must agree, and nothing may leak."""
    below, alone = make(**index), make(**index)
    for store in (below, alone):
        for op in loaded:
            store.batch([op])
    before = content(below)
    overlay = StoreOverlay(below)
    for batch in batches:
        twice = [op._replace(limit=EVERY, offset=0) for op in batch if isinstance(op, SearchOp)]
        whole = iter(alone.batch(twice))
        for op, ours, theirs in zip(batch, overlay.batch(batch), alone.batch(batch), strict=True):
            ours, theirs = plain(ours), plain(theirs)
            if isinstance(op, SearchOp):
                possible = plain(next(whole))
                assert len(ours) == len(theirs)
                assert not Counter(map(repr, ours)) - Counter(map(repr, possible))
                assert [score for *_, score in ours] == pytest.approx([score for *_, score in theirs])
            else:
                assert ours == theirs
        for op in twice:
            if not op.query:  # else what has no vector is on several pages
                pages = [SearchOp(op.namespace_prefix, op.filter, 2, at) for at in range(0, len(content(alone)), 2)]
                paged = [plain(item) for page in overlay.batch(pages) for item in page]
                assert sorted(paged, key=repr) == sorted(plain(alone.batch([op])[0]), key=repr)
        assert content(below) == before
        assert content(overlay) == content(alone)
    for op in put_ops(overlay.writes):
        below.batch([op])
    assert content(below) == content(alone)
    assert below.list_namespaces(limit=EVERY) == alone.list_namespaces(limit=EVERY)


@MANY
@given(loaded=st.lists(PUTS, max_size=8), batches=BATCHES)
def test_an_overlay_answers_as_a_memory_store_that_was_written_to(loaded, batches):
    agree(in_memory, loaded, batches)


@settings(max_examples=100, deadline=None)
@given(loaded=st.lists(PUTS, max_size=8), batches=BATCHES)
def test_an_overlay_answers_as_a_database_that_was_written_to(loaded, batches):
    agree(in_sqlite, loaded, batches)


QUERIES = st.builds(SearchOp, PREFIXES, FILTERS, st.integers(0, 6), st.integers(0, 4), st.sampled_from(["abc", "f"]))
TEXTS = st.fixed_dictionaries({"text": st.text("abcdef", min_size=1, max_size=5), "n": st.integers(0, 2)})
# An InMemoryStore keeps the vector of what is overwritten by something without one: every value has a text here.
INDEXED = st.builds(PutOp, NAMESPACES, KEYS, NONE | TEXTS, NONE, NONE)


@MANY
@given(loaded=st.lists(INDEXED, max_size=8), batches=st.lists(st.lists(INDEXED | QUERIES, max_size=1), max_size=8))
def test_ranked_by_score_across_both(loaded, batches):
    agree(in_memory, loaded, batches, embed=embed)


@MANY
@given(writes=st.lists(PUTS, max_size=8))
def test_one_batch_of_all_writes_makes_the_store_what_the_overlay_was(writes):
    below = in_memory()
    overlay = StoreOverlay(below)
    for op in writes:
        overlay.batch([op])
    seen = content(overlay)
    below.batch(put_ops(overlay.writes))
    assert content(below) == seen


# -- one by one ----------------------------------------------------------------------------------------------


def test_reads_of_a_batch_come_before_its_writes(do):
    below = in_memory()
    below.put(NOTES, "k", {"n": 1})
    overlay = StoreOverlay(below)
    new = PutOp(("new",), "k", {"n": 2})
    put = PutOp(NOTES, "k", {"n": 2})
    got = do(overlay, put, new, GetOp(NOTES, "k"), SearchOp(()), ListNamespacesOp(), PutOp(NOTES, "k", {"n": 3}))
    assert [got[0], got[1], got[5]] == [None, None, None]
    assert got[2].value == {"n": 1}
    assert [item.value for item in got[3]] == [{"n": 1}]
    assert got[4] == [NOTES]
    got = do(overlay, GetOp(NOTES, "k"), GetOp(("new",), "k"), ListNamespacesOp())
    assert [got[0].value, got[1].value, got[2]] == [{"n": 3}, {"n": 2}, [("new",), NOTES]]
    assert content(below) == {(NOTES, "k"): {"n": 1}}


def test_what_is_deleted_or_overwritten_does_not_use_up_the_limit(do):
    below = in_memory()
    for n in range(6):
        below.put(NOTES, f"k{n}", {"n": n, "old": True})
    overlay = StoreOverlay(below)
    do(overlay, PutOp(NOTES, "k0", None), PutOp(NOTES, "k1", None), PutOp(NOTES, "k2", {"n": 2, "old": False}))
    (found,) = do(overlay, SearchOp(NOTES, {"old": True}, limit=2))
    assert keys(found) == ["k3", "k4"]
    (found,) = do(overlay, SearchOp(NOTES, {"old": True}, limit=2, offset=2))
    assert keys(found) == ["k5"]
    assert do(overlay, GetOp(NOTES, "k0")) == [None]
    assert len(below.search(NOTES)) == 6


def test_an_unknown_operation_is_refused_and_nothing_of_its_batch_is_written(do):
    overlay = StoreOverlay(in_memory())
    with pytest.raises(ValueError, match="Unknown operation"):
        do(overlay, PutOp(NOTES, "k", {}), "get")
    assert overlay.writes == []


@BELOW
def test_what_goes_in_and_what_comes_out_are_copies(make):
    below = make()
    below.put(NOTES, "old", {"list": [1]})
    overlay = StoreOverlay(below)
    value = {"list": [1]}
    overlay.put(NOTES, "new", value)
    value["list"].append(2)
    for key in ("old", "new"):
        overlay.get(NOTES, key).value["list"].append(3)
        for item in overlay.search(NOTES):
            item.value["list"].append(4)
    overlay.writes[0][2]["list"].append(5)
    writes = overlay.writes
    put_ops(writes)[0].value["list"].append(6)
    assert writes[0][2] == {"list": [1]}
    assert content(overlay) == {(NOTES, "old"): {"list": [1]}, (NOTES, "new"): {"list": [1]}}
    assert content(below) == {(NOTES, "old"): {"list": [1]}}


async def test_a_value_changed_while_the_write_waits_is_written_as_it_was():
    overlay = StoreOverlay(in_memory(aembed))
    value = {"text": "abc"}
    writing = asyncio.create_task(overlay.aput(NOTES, "k", value))
    await asyncio.sleep(0)
    value["text"] = "def"
    await writing
    assert overlay.writes == [[list(NOTES), "k", {"text": "abc"}, None, None]]
    assert (await overlay.aget(NOTES, "k")).value == {"text": "abc"}


def test_overlays_of_one_store_do_not_see_each_other():
    below = in_memory()
    one, two = StoreOverlay(below), StoreOverlay(below)
    one.put(NOTES, "k", {"n": 1})
    two.put(NOTES, "k", {"n": 2})
    assert (one.get(NOTES, "k").value, two.get(NOTES, "k").value) == ({"n": 1}, {"n": 2})
    assert content(below) == {}


def test_an_overlay_of_an_overlay():
    below = in_memory(embed)
    below.put(NOTES, "k", {"text": "a"})
    outer = StoreOverlay(below)
    outer.put(NOTES, "l", {"text": "ab"})
    inner = StoreOverlay(outer)
    inner.put(NOTES, "m", {"text": "abc"})
    inner.delete(NOTES, "k")
    assert keys(inner.search(NOTES, query="abc")) == ["m", "l"]
    assert inner.search(NOTES, query="abc")[1].score < 1
    assert keys(outer.search(NOTES)) == ["k", "l"]
    assert keys(inner.search(NOTES)) == ["l", "m"]
    outer.batch(put_ops(inner.writes))
    below.batch(put_ops(outer.writes))
    assert sorted(keys(below.search(NOTES))) == ["l", "m"]


def test_writes_survive_a_checkpoint():
    overlay = StoreOverlay(in_memory())
    ops = [
        PutOp(NOTES, "a", {"deep": [{"x": 1.5}]}, index=["text", "n"], ttl=2.5),
        PutOp(NOTES, "b", {}, index=False),
        PutOp(NOTES, "b", None),
        PutOp(("other",), "c", {"n": 1}, ttl=NOT_PROVIDED),
    ]
    overlay.batch([*ops[:1], ops[1]._replace(index=False)])
    overlay.batch([ops[2], ops[3]])
    assert overlay.writes == [
        [["user", "notes"], "a", {"deep": [{"x": 1.5}]}, ["text", "n"], 2.5],
        [["user", "notes"], "b", {}, False, None],
        [["user", "notes"], "b", None, None, None],
        [["other"], "c", {"n": 1}, None, "NOT_PROVIDED"],
    ]
    serde = JsonPlusSerializer()
    assert put_ops(serde.loads_typed(serde.dumps_typed(overlay.writes))) == ops
    assert put_ops(overlay.writes)[3].ttl is NOT_PROVIDED
    tupled = StoreOverlay(in_memory())
    tupled.batch([ops[0]._replace(index=("text", "n"))])
    assert tupled.writes == overlay.writes[:1]


# -- search by meaning ---------------------------------------------------------------------------------------


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
def test_a_database_ranks_alike_and_leaves_out_what_has_no_vector(make):
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


# -- other stores below --------------------------------------------------------------------------------------


def test_a_database_lists_no_emptied_namespaces_and_the_newest_items_first():
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


async def test_the_store_in_a_wrapper_sets_the_index_and_the_order():
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


def test_what_no_write_touches_is_asked_as_it_is(do):
    below = Recording()
    overlay = StoreOverlay(below)
    listing = ListNamespacesOp(max_depth=1, limit=2, offset=1)
    do(overlay, listing, PutOp(("other",), "k", {}))
    elsewhere = [SearchOp(NOTES, {"n": 1}, 3, 2, "abc"), GetOp(NOTES, "k", refresh_ttl=False)]
    do(overlay, *elsewhere)
    do(overlay, GetOp(("other",), "k"), PutOp(NOTES, "k", None))
    assert below.asked == [listing, *elsewhere]


def test_a_store_that_keeps_something_else_where_a_wrapper_has_its_store():
    overlay = StoreOverlay(Recording({"dims": 6, "embed": embed, "fields": ["text"]}))
    overlay.put(NOTES, "far", {"text": "ffff"})
    overlay.put(NOTES, "near", {"text": "aaaa"})
    overlay.put(NOTES, "farther", {"text": "ffffff"})
    assert keys(overlay.search(NOTES, query="aaaa")) == ["near", "far", "farther"]


# -- threads -------------------------------------------------------------------------------------------------


@pytest.fixture
def restless():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("embedder", [None, embed])
def test_tools_in_threads_and_on_the_loop_write_and_search_at_once(embedder):
    below = in_memory(embedder)
    below.put(NOTES, "k", {"text": "abc"})
    overlay = StoreOverlay(below)

    def tool(n):
        for i in range(30):
            overlay.put((*NOTES, f"{n}-{i}"), "k", {"text": f"{n} {i}"})
            assert len(overlay.search(NOTES, query="abc", limit=EVERY)) > i
        return n

    async def atool(n):
        for i in range(30):
            await overlay.aput((*NOTES, f"{n}-{i}"), "k", {"text": f"{n} {i}"})
            assert len(await overlay.asearch(NOTES, query="abc", limit=EVERY)) > i

    async def all_at_once():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(6) as pool:
            jobs = [loop.run_in_executor(pool, tool, n) for n in range(6)]
            await asyncio.gather(*jobs, atool(6), atool(7))

    asyncio.run(all_at_once())
    assert len(overlay.writes) == len(overlay.search((), limit=EVERY)) - 1 == 8 * 30
    assert content(below) == {(NOTES, "k"): {"text": "abc"}}
    for op in put_ops(overlay.writes):
        below.batch([op])
    assert content(below) == content(overlay)


def test_a_slow_embedding_in_a_thread_holds_up_nobody_else():
    started, go = threading.Event(), threading.Event()

    def slow(texts):
        if "slow" in texts:
            started.set()
            assert go.wait(10)
        return embed(texts)

    overlay = StoreOverlay(in_memory(slow))
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(overlay.put, NOTES, "k", {"text": "slow"})
        assert started.wait(10)
        try:
            pool.submit(overlay.put, NOTES, "k", {"text": "quick"}).result(timeout=5)
            assert overlay.get(NOTES, "k").value == {"text": "quick"}
        finally:
            go.set()
        writing.result()
    assert overlay.get(NOTES, "k").value == {"text": "slow"} == overlay.writes[-1][2]


async def test_a_slow_embedding_holds_up_nobody_else():
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(texts):
        if "slow" in texts:
            started.set()
            await go.wait()
        return embed(texts)

    overlay = StoreOverlay(in_memory(slow))
    writing = asyncio.create_task(overlay.aput(NOTES, "k", {"text": "slow"}))
    await started.wait()
    await overlay.aput(NOTES, "k", {"text": "quick"})
    assert (await overlay.aget(NOTES, "k")).value == {"text": "quick"}
    go.set()
    await writing
    assert (await overlay.aget(NOTES, "k")).value == {"text": "slow"} == overlay.writes[-1][2]
