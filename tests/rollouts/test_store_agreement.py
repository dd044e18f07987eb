"""An overlay answers as a store of one's own would, whatever is written and asked, and leaks nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from short_form import part_of
from stores import EVERY, content, embed, in_memory, in_sqlite

from ec_agent.rollouts.store_overlay import StoreOverlay, put_ops


def plain(result):
    """What must agree: everything but times."""
    if isinstance(result, list):
        return [plain(each) for each in result]
    if result is None or isinstance(result, tuple):
        return result
    return (type(result).__name__, result.namespace, result.key, result.value, getattr(result, "score", None))


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
MANY = settings(max_examples=part_of(300), deadline=None)


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
def test_an_overlay_answers_as_a_memory_store(loaded, batches):
    agree(in_memory, loaded, batches)


@settings(max_examples=part_of(100), deadline=None)
@given(loaded=st.lists(PUTS, max_size=8), batches=BATCHES)
def test_an_overlay_answers_as_a_database(loaded, batches):
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
def test_one_batch_of_writes_updates_the_store(writes):
    below = in_memory()
    overlay = StoreOverlay(below)
    for op in writes:
        overlay.batch([op])
    seen = content(overlay)
    below.batch(put_ops(overlay.writes))
    assert content(below) == seen
