"""A rollout's writes stay in its overlay: what it answers, copies and keeps, batch by batch."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.base import NOT_PROVIDED, GetOp, ListNamespacesOp, PutOp, SearchOp
from stores import NOTES, Recording, aembed, content, embed, in_memory, in_sqlite, keys

from ec_agent.rollouts.store_overlay import StoreOverlay, put_ops

BELOW = pytest.mark.parametrize("make", [in_memory, in_sqlite])


@pytest.fixture(params=["batch", "abatch"])
def do(request):
    """Runs operations of a store synchronously or asynchronously."""

    def sync(store, *ops):
        return store.batch(ops)

    def asynchronous(store, *ops):
        return asyncio.run(store.abatch(ops))

    return sync if request.param == "batch" else asynchronous


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


def test_deleted_items_do_not_use_the_limit(do):
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


def test_an_unknown_operation_writes_nothing(do):
    overlay = StoreOverlay(in_memory())
    with pytest.raises(ValueError, match="Unknown operation"):
        do(overlay, PutOp(NOTES, "k", {}), "get")
    assert overlay.writes == []


@BELOW
def test_inputs_and_results_are_copies(make):
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


async def test_a_later_change_of_a_value_is_ignored():
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


def test_untouched_operations_pass_unchanged(do):
    below = Recording()
    overlay = StoreOverlay(below)
    listing = ListNamespacesOp(max_depth=1, limit=2, offset=1)
    do(overlay, listing, PutOp(("other",), "k", {}))
    elsewhere = [SearchOp(NOTES, {"n": 1}, 3, 2, "abc"), GetOp(NOTES, "k", refresh_ttl=False)]
    do(overlay, *elsewhere)
    do(overlay, GetOp(("other",), "k"), PutOp(NOTES, "k", None))
    assert below.asked == [listing, *elsewhere]
