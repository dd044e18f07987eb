"""Agents alone and in ``best_of_n`` with the same winner: no difference but those of docs/differences.md."""

from __future__ import annotations

import functools

import diff_table
import pytest
from diff_allowed import explain
from diff_cast import LOSER
from diff_gist import differences
from diff_ways import Run, run

ROWS = diff_table.rows()
CASES = [
    (name, way, api)
    for name, row in ROWS.items()
    for way in row.ways
    for api, has in (("sync", row.sync), ("async", row.asynchronous))
    if has
]


@functools.cache
def alone(name: str, way: str) -> Run:
    """The agent without us; its two APIs do the same."""
    return run(ROWS[name], way, wrapped=False, api="sync" if ROWS[name].sync else "async")


@pytest.mark.members(12)
@pytest.mark.parametrize(("name", "way", "api"), CASES, ids=["-".join(case) for case in CASES])
def test_it_is_as_without_us(name, way, api):
    row = ROWS[name]
    bare, ours = alone(name, way), run(row, way, wrapped=True, api=api)
    found = list(differences(bare.told(), ours.told()))
    left, unused = explain(found, row.differs.get(way, ()), bare.told(), lambda: alone(name, "alone").told())
    assert not left, f"{name}, as {way}, {api}: {len(left)} places differ, the first of them:\n  {left[0]}"
    assert not unused, f"{name}, as {way}, {api}: these differences are gone, so take them out of the table: {unused}"
    assert not ours.problems, f"{name}, as {way}, {api}: {ours.problems}"
    kept = kept_of_losers(ours)
    assert not kept, f"{name}, as {way}, {api}: a loser's words are in the checkpointer, at {kept[0]}"


def kept_of_losers(done: Run) -> list[tuple[str, str, str]]:
    """Where a loser's words are in the checkpointer, but for the records of a question in its own namespace."""
    saver = done.saver
    found = []
    for thread, spaces in saver.storage.items():
        found += [(thread, space, "checkpoint") for space, each in spaces.items() if LOSER in repr(each)]
    found += [(key[0], key[1], f"channel {key[2]}") for key, each in saver.blobs.items() if LOSER in repr(each)]
    for key, each in saver.writes.items():
        found += [(key[0], key[1], f"write to {write[1]}") for write in each.values() if LOSER in repr(write)]
    return [place for place in found if not (place[1].split("|")[-1] and place[2].split()[-1] in ("records",))]
