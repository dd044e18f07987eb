"""``ec-agent traces``: what is listed, shown, exported and pruned, and what is left alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ec_agent import ConfigError, HEPConfig, TraceError, TraceStore, best_of_n, entropy_centroid
from ec_agent.cli.app import app
from ec_agent.support.extras import installing
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces import parquet

VERSION_1 = Path(__file__).parents[1] / "traces" / "data" / "version_1.db"
LATE, EARLY = [0.1, None, 2.0], [2.0, 0.1, 0.1, 0.1]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """An evaluation's run of two tasks, and three recorded selections."""
    path = shutil.copy(VERSION_1, tmp_path_factory.mktemp("filled") / "traces.db")
    model = ScriptedChatModel([[Reply("late", entropies=LATE)], [Reply("early \x1b[31m[bold]", entropies=EARLY)]])
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2, keep_text=True)
    with TraceStore(path) as store:
        for number in range(3):
            store.record(node.run({"messages": [("user", "?")]}), name=f"question {number}")
        days = 86400.0
        for number, age in ((1, 40), (2, 20), (3, 0.5)):
            store._database.connection.execute(
                "UPDATE selections SET recorded = recorded - ? WHERE id = ?", (age * days, number)
            )
    return path


@pytest.fixture
def file(filled, tmp_path):
    return Path(shutil.copy(filled, tmp_path / "traces.db"))


def run(*words, **more):
    return CliRunner().invoke(app, ["traces", *map(str, words)], **more)


def lines(*words):
    done = run(*words)
    assert done.exception is None, done.exception
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ls_has_a_line_for_each_task_and_selection(filled):
    rows = lines("ls", filled, "--json")
    assert [(row["id"], row["name"], row["rollouts"], row["failed"], row["tokens"]) for row in rows] == [
        ("a", "a", 2, 1, 15),
        ("b", "b", 1, 0, 5),
        *((f"s{n + 1}", f"question {n}", 2, 0, 7) for n in range(3)),
    ]
    assert rows[0]["mean_outcome"] == 0.25
    assert [(row["winner"], row["centroid"], row["outcome"]) for row in rows[2:]] == [(1, 0.125, None)] * 3
    printed = run("ls", filled).stdout
    assert "question 2" in printed
    assert "0.125" in printed


def test_ls_has_a_line_for_each_rollout(filled):
    rows = lines("ls", filled, "--rollouts", "--json")
    assert [row["id"] for row in rows[-2:]] == ["r9", "r10"]
    assert [(row["of"], row["kind"], row["outcome"]) for row in rows[:3]] == [
        ("a", "sample", 0.5),
        ("a", "sample", 0.0),
        ("a", "greedy", 1.0),
    ]
    assert rows[-2]["centroid"] == pytest.approx(entropy_centroid([0.1, np.nan, 2.0]))
    assert rows[1]["error"] == "ValueError: x"
    printed = run("ls", filled, "--rollouts").stdout
    assert printed.count("failed") == 1
    assert printed.count("greedy") == 1


def test_an_empty_file_says_so_and_lists_nothing(tmp_path):
    TraceStore(tmp_path / "empty.db", create=True).close()
    done = run("ls", tmp_path / "empty.db")
    assert "holds no rollouts yet" in done.stderr
    assert lines("ls", tmp_path / "empty.db", "--json") == []


def test_show_prints_a_selection_with_its_receipt(filled):
    printed = run("show", filled, "s2").stdout
    for words in (
        "question 1",
        "chosen  rollout 1: early",
        "The next best is rollout 0 with ",
        "0 is r7, 1 is r8",
        "▲",
    ):
        assert words in printed
    assert "\x1b" not in printed
    (plain,) = lines("show", filled, "s2", "--json")
    assert plain["receipt"]["winner"] == 1
    assert plain["rollouts"][0]["calls"][0]["entropies"] == [pytest.approx(0.1), None, pytest.approx(2.0)]


def test_show_prints_a_rollout_with_its_calls(filled):
    printed = run("show", filled, "r8", "--text").stdout
    for words in (
        "question 1  rollout 1, r8",
        "centroid 0.1250",
        "call 0  w0 w1 w2 w3",
        "ended  early \u241b[31m[bold]",
    ):
        assert words in printed
    (plain,) = lines("show", filled, "8", "--json")
    assert (plain["rollout"], plain["verdict"], plain["centroid"]) == (8, None, 0.125)
    assert plain["calls"][0]["texts"] == ["w0 ", "w1 ", "w2 ", "w3 "]


def test_show_prints_every_rollout_of_a_task(filled):
    printed = run("show", filled, "a").stdout
    assert printed.index("rollout 0, r1") < printed.index("failed  ValueError: x") < printed.index("greedy rollout, r3")
    assert [row["kind"] for row in lines("show", filled, "a", "--json")[0]] == ["sample", "sample", "greedy"]


def test_settings_of_the_phases_reach_what_is_shown(filled):
    assert lines("show", filled, "8", "--json", "--config", "50,30,1")[0]["centroid"] == entropy_centroid(
        EARLY, HEPConfig(50, 30, 1)
    )
    for odd in ("1,80", "a,b,c", "1,80,2,3", "1,80,0"):
        assert isinstance(run("show", filled, "8", "--config", odd).exception, ConfigError)


@pytest.mark.parametrize("what", ["s9", "r99", "99", "nothing"])
def test_what_is_not_there_is_said(filled, what):
    done = run("show", filled, what)
    assert isinstance(done.exception, TraceError)
    assert "run `ec-agent traces ls`" in str(done.exception)


@pytest.mark.parametrize("words", [("ls",), ("show", "1"), ("export", "--parquet", "out"), ("prune", "--keep", "1")])
def test_a_file_that_is_not_there_is_refused(tmp_path, words):
    done = run(words[0], tmp_path / "none.db", *words[1:])
    assert isinstance(done.exception, TraceError)
    assert "there is no file" in str(done.exception)


# Parquet.


@pytest.fixture(scope="module")
def exported(filled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "tables"
    done = run("export", filled, "--parquet", folder)
    assert done.exception is None, done.exception
    assert "rollouts.parquet  10 rows" in done.stdout
    return folder


def test_parquet_has_what_the_file_has(filled, exported):
    tables = {name: pq.read_table(exported / f"{name}.parquet").to_pylist() for name in parquet.TABLES}
    with TraceStore(filled) as store:
        rollouts = {rollout.id: rollout for rollout in store.rollouts()}
        receipts = [kept.receipt.to_dict() for kept in store.selections()]
    assert [json.loads(row["receipt"]) for row in tables["selections"]] == receipts
    assert [row["rollout"] for row in tables["rollouts"]] == list(rollouts)
    for row in tables["rollouts"]:
        rollout = rollouts[row["rollout"]]
        assert (row["task"], row["number"], row["error"]) == (rollout.key.task, rollout.key.number, rollout.error)
        assert row["chosen"] is (None if rollout.selection is None else rollout.key.number == 1)
        tokens = [token for token in tables["tokens"] if token["rollout"] == rollout.id]
        assert [token["place"] for token in tokens] == list(range(row["tokens"]))
        np.testing.assert_array_equal(
            np.array([np.nan if t["entropy"] is None else t["entropy"] for t in tokens]), rollout.trajectory.entropies
        )
        calls = [call for call in tables["calls"] if call["rollout"] == rollout.id]
        assert [call["tokens"] for call in calls] == [call.tokens for call in rollout.trajectory.calls]
        assert [call["model"] for call in calls] == [call.model for call in rollout.trajectory.calls]
    assert [token["text"] for token in tables["tokens"]][:5] == ["a", "?", "é", None, None]


def test_row_groups_keep_the_memory_small(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP", 4)
    with TraceStore(filled) as store:
        counts = parquet.export_parquet(store, tmp_path)
    tokens = pq.ParquetFile(tmp_path / "tokens.parquet")
    assert tokens.metadata.num_rows == counts["tokens"] == 41
    assert tokens.metadata.num_row_groups > 8


def test_a_folder_with_tables_is_not_written_over(filled, exported):
    done = run("export", filled, "--parquet", exported)
    assert isinstance(done.exception, TraceError)
    assert "has selections.parquet already; give another folder" in str(done.exception)


def test_half_an_export_leaves_no_tables(filled, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(parquet, "_call", fail)
    done = run("export", filled, "--parquet", tmp_path / "out")
    assert isinstance(done.exception, TraceError)
    assert "disk full" in str(done.exception)
    assert list((tmp_path / "out").iterdir()) == []


def test_without_pyarrow_the_extra_is_named(filled, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "ec_agent.traces.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("export", filled, "--parquet", tmp_path / "out")
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == f"the export needs pyarrow; run: {installing('ec-agent[parquet]')}"


def recipes():
    page = (Path(__file__).parents[2] / "docs" / "traces.md").read_text(encoding="utf-8")
    return [block.partition("```")[0] for block in page.split("```python\n")[1:]]


@pytest.mark.parametrize("library", [pandas, polars], ids=["pandas", "polars"])
def test_the_recipe_in_the_docs_runs(exported, library, monkeypatch):
    (recipe,) = [block for block in recipes() if f"import {library.__name__} as" in block]
    monkeypatch.chdir(exported.parent)
    names = {}
    exec(recipe, names)
    by_call = names["by_call"]
    assert len(by_call) == 14  # a call of unknown length has no tokens
    assert set(names["chosen"]["number"]) == {1}


# Pruning.


def kept(file):
    with TraceStore(file) as store:
        return [(each.id, [n for _, n, _ in store.candidates(each.id)]) for each in store.selections()], len(
            store.keys()
        )


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--keep", "1"), [(3, [0, 1])]),
        (("--older-than", "30d"), [(2, [0, 1]), (3, [0, 1])]),
        (("--older-than", "2w", "--keep", "2"), [(2, [0, 1]), (3, [0, 1])]),
        (("--losers",), [(1, [1]), (2, [1]), (3, [1])]),
        (("--losers", "--older-than", "24h"), [(1, [1]), (2, [1]), (3, [0, 1])]),
        (("--keep", "0"), []),
        (("--keep", "9"), [(1, [0, 1]), (2, [0, 1]), (3, [0, 1])]),
    ],
)
def test_prune_takes_what_fits_all_and_never_the_run(file, options, left):
    before = kept(file)
    dry = run("prune", file, *options, "--dry-run")
    assert kept(file) == before
    done = run("prune", file, *options, "--yes")
    assert done.exception is None
    assert done.stdout.startswith(dry.stdout)
    assert kept(file) == (left, 4)
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rollouts = {row[0] for row in connection.execute("SELECT id FROM rollouts")}
        assert {row[0] for row in connection.execute("SELECT rollout FROM timelines")} == rollouts


def test_a_thinned_selection_can_still_be_shown(file):
    run("prune", file, "--losers", "--yes")
    printed = run("show", file, "s1").stdout
    assert "(pruned)" in printed
    assert "chosen  rollout 1: early" in printed


def test_prune_gives_the_room_back(file):
    with TraceStore(file) as store:
        (selection, *_) = store.selections()
        rollout = next(store.rollouts(selection=selection.id))
        connection = store._database.connection
        blob = np.zeros(300_000, "<f4").tobytes()
        connection.execute("UPDATE timelines SET data = ? WHERE rollout = ?", (blob, rollout.id))
    before = file.stat().st_size
    assert run("prune", file, "--keep", "2", "--yes").exception is None
    assert file.stat().st_size < before - 1_000_000


def test_prune_asks_before_it_deletes(file, monkeypatch):
    before = kept(file)
    done = run("prune", file, "--keep", "0")
    assert isinstance(done.exception, ConfigError)
    assert "give --yes" in str(done.exception)
    monkeypatch.setattr("ec_agent.cli.traces_prune.asked_of_somebody", lambda: True)
    done = run("prune", file, "--keep", "0", input="n\n")
    assert "3 selections: 6 rollouts of 21 tokens" in done.stdout
    assert "nothing was deleted" in done.stdout
    assert kept(file) == before
    assert "6 rollouts deleted" in run("prune", file, "--keep", "0", input="y\n").stdout
    assert kept(file) == ([], 4)


@pytest.mark.parametrize("options", [(), ("--older-than", "30"), ("--older-than", "d"), ("--older-than", "-1d")])
def test_prune_refuses_arguments_it_cannot_have(file, options):
    done = run("prune", file, *options, "--yes")
    assert isinstance(done.exception, ConfigError)
