"""Sixty runs, or fifteen in the short form, with faults in them; ``long_form.py`` has a thousand."""

from __future__ import annotations

import chaos_deliveries as chaos
import pytest
from short_form import part_of
from sinks import smtp_sink

RUNS = part_of(60)


@pytest.fixture(scope="module")
def runs():
    with smtp_sink() as sink:
        return chaos.deliver_all((f"short-{i}" for i in range(RUNS)), sink)


def test_the_winners_mails_are_delivered_once_and_no_others(runs):
    broken = [str(run) for run in runs if run.broken]
    assert not broken, "\n".join(broken)


@pytest.mark.whole_form("the draw of the short form is too small to have something of everything")
def test_the_draw_has_something_of_everything(runs):
    assert {fault for run in runs for fault in run.faults} == {None, *chaos.FAULTS}
    assert {(run.carrier, run.api) for run in runs} == {(c, a) for c in chaos.CARRIERS for a in ("sync", "async")}
    assert {run.n for run in runs} == {1, 2, 4, 8}
    assert {run.fails for run in runs} == set(chaos.LATER)
    assert sum(len(run.delivered) for run in runs) > RUNS
    assert any(run.winner is None for run in runs)
