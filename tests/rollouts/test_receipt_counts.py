"""How many rollouts the receipt says were planned, started, ended and cancelled, and how readers see it."""

from __future__ import annotations

import json
from dataclasses import replace

import kit
import pytest

from ec_agent import Selection, TraceStore, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

NEW = ("planned", "started", "ended", "cancelled", "waves", "stopped", "saved_tokens")


def chosen(run, *replies):
    node = best_of_n(kit.chat(ScriptedChatModel([[reply] for reply in replies])), n=len(replies))
    return run.run(node, {"messages": "go"})


def three(run):
    return chosen(run, *(Reply(f"answer {at}", entropies=kit.peak(at)) for at in kit.PEAKS))


def test_without_stop_there_is_one_wave(run):
    selection = three(run).selection
    assert (selection.planned, selection.started, selection.ended, selection.cancelled) == (3, 3, 3, 0)
    assert (selection.waves, selection.stopped, selection.saved_tokens) == ((3,), None, 0)
    assert "started" not in str(selection)
    assert "were started" not in selection.to_html()


def test_a_failed_rollout_started_but_did_not_end(run):
    said = [Reply("a", entropies=kit.peak(3)), Reply(error=LookupError("lost")), Reply("b")]
    selection = chosen(run, *said).selection
    assert (selection.planned, selection.started, selection.ended) == (3, 3, 2)
    assert selection.saved_tokens == 0


def test_a_receipt_of_an_earlier_version_says_the_same(run):
    selection = three(run).selection
    plain = json.loads(json.dumps(selection.to_dict()))
    older = {name: value for name, value in plain.items() if name not in NEW}
    assert Selection.from_dict(older) == selection
    assert Selection.from_dict(plain) == selection


STOPPED = {"planned": 8, "started": 3, "waves": (2, 1), "stopped": "3 of 3 rollouts agree", "saved_tokens": 1234}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            STOPPED,
            "3 of 8 rollouts were started, in waves of 2 and 1: 3 of 3 rollouts agree; about 1,234 tokens saved.",
        ),
        (
            {**STOPPED, "started": 8, "waves": (8,), "cancelled": 5},
            "8 of 8 rollouts were started and 5 were cancelled: 3 of 3 rollouts agree; about 1,234 tokens saved.",
        ),
        ({**STOPPED, "waves": (3,), "saved_tokens": None}, "3 of 8 rollouts were started: 3 of 3 rollouts agree."),
        ({"planned": 3, "waves": (2, 1)}, "All 3 rollouts were started, in waves of 2 and 1."),
    ],
    ids=["waves", "cancelled", "tokens not known", "never stopped"],
)
def test_table_and_page_show_it(run, changed, said):
    selection = replace(three(run).selection, **changed)
    assert said in str(selection).splitlines()
    assert said in selection.to_html()
    assert said in selection._repr_html_()
    assert Selection.from_dict(json.loads(json.dumps(selection.to_dict()))) == selection


def test_a_store_keeps_it(run, tmp_path):
    result = three(run)
    with TraceStore(tmp_path / "t.sqlite", create=True) as store:
        number = store.record(replace(result, selection=replace(result.selection, **STOPPED)))
        kept = store.selection(number).receipt
    assert (kept.planned, kept.waves, kept.stopped, kept.saved_tokens) == (8, (2, 1), STOPPED["stopped"], 1234)


def test_a_parquet_export_has_it(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from ec_agent.traces.parquet import export_parquet

    result = three(run)
    with TraceStore(tmp_path / "t.sqlite", create=True) as store:
        store.record(replace(result, selection=replace(result.selection, **STOPPED)))
        store.record(result)
        export_parquet(store, tmp_path / "out")
    rows = parquet.read_table(tmp_path / "out" / "selections.parquet").to_pylist()
    assert [(row["planned"], row["started"], row["ended"], row["cancelled"]) for row in rows] == [
        (8, 3, 3, 0),
        (3, 3, 3, 0),
    ]
    assert [(row["stopped"], row["saved_tokens"]) for row in rows] == [(STOPPED["stopped"], 1234), (None, 0)]
