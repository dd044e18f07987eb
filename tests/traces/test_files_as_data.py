"""A trace file of somebody else is data: whatever stands in its columns, an error of ours or text, and no markup."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest
from click.testing import CliRunner
from langchain.agents import create_agent

from ec_agent import ConfigError, EcAgentError, Selection, TraceError, TraceStore, Trajectory, best_of_n
from ec_agent.cli.app import app
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.numbers.trajectory import Call
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.stored import StoredRollout

RAW = "<b>INJECTED</b>"
MARKUP = f'0">{RAW}'
ODD = [MARKUP, [MARKUP], {MARKUP: MARKUP}, None, -1, float("inf"), True, 10**30, "", 0.5]


@pytest.fixture(scope="module")
def result():
    scripts = [[Reply("a", entropies=[2.0, 0.1, 0.1, 0.1])], [Reply("b", entropies=[0.1, 0.1, 2.0, 0.1])]]
    agent = create_agent(ScriptedChatModel(scripts), [])
    return best_of_n(agent, n=2, keep_text=True, keep_candidates=2).run({"messages": "q"})


@pytest.fixture(scope="module")
def recorded(result, tmp_path_factory):
    file = tmp_path_factory.mktemp("recorded") / "traces.db"
    with TraceStore(file, create=True) as store:
        store.record(result, name="x")
    return file


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("run") / "run.db"
    settings = RunSettings(n=1)
    with TraceStore(file, create=True) as store:
        store.begin({"agent": "mine:graph", **settings.lasting()}, {"task": "mark"})
        for key in settings.keys("task"):
            made = Trajectory([Call([1.0, 0.1, 0.1], texts=("a", "b", "c"), model="m", node="n")])
            usage = dict.fromkeys(("prompt_tokens", "cached_tokens", "generated_tokens"), 3)
            store.add(StoredRollout(key, 0, {}, made, "answer", 1.0, None, 0.0, 0.5, usage))
    return file


def changed(file, folder, statement, values=()):
    """A copy in which that statement was executed."""
    for old in folder.glob("copy.db*"):
        old.unlink()
    copy = folder / "copy.db"
    shutil.copy(file, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(statement, values)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return copy


def said_of(*words):
    """What the command prints; an error of ours is right, another is not."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, EcAgentError | SystemExit):
        raise done.exception
    return done.output


def looked_at(file, folder, *more):
    page = folder / "page.html"
    page.unlink(missing_ok=True)
    said_of("report", file, "--html", page, *more)
    assert RAW not in (page.read_text(encoding="utf-8") if page.exists() else "")
    for words in (
        ["ls", file],
        ["ls", file, "--rollouts"],
        ["show", file, "r1", "--text"],
        ["show", file, "r1", "--json"],
    ):
        said_of("traces", *words)
    said_of("score", file)
    said_of("watch", file, "--no-follow")


def places(value, place=()):
    yield place
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*place, name))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*place, 0))


def with_other(value, place, other):
    if not place:
        return other
    whole = json.loads(json.dumps(value))
    at = whole
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = other
    return whole


# Receipts


def test_any_value_in_any_field_of_a_receipt(result):
    plain = json.loads(json.dumps(result.selection.to_dict()))
    refused = 0
    for place in places(plain):
        for odd in ODD:
            try:
                read = Selection.from_dict(with_other(plain, place, odd))
            except ConfigError:
                refused += 1
                continue
            if odd == MARKUP:  # what is drawn of the values that fit
                assert RAW not in read.to_html()
                assert RAW not in (read._repr_html_() or "")
    assert refused > 250
    assert Selection.from_dict(plain).to_dict() == plain


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"winner": 7}, "no candidate"),
        ({"order": [0, 9]}, "no candidate"),
        ({"order": [0, 0]}, "twice"),
        ({"candidates": []}, "no candidate"),
        ({"winner": "1"}, "'1', not a whole number"),
        ({"winner": True}, "True, not a whole number"),
        ({"margin": "wide"}, "'wide', not a number"),
        ({"usage": {"prompt_tokens": "3"}}, "'3', not a whole number"),
        ({"later": 1}, "'later', which is not known"),
        ({"seen": None}, "'seen', which is not known"),
        ({"config": {"top_percent": "1"}}, "'1', not a number"),
    ],
)
def test_what_is_wrong_is_named(result, change, words):
    plain = json.loads(json.dumps(result.selection.to_dict()))
    with pytest.raises(ConfigError, match=words):
        Selection.from_dict({**plain, **change})


def test_earlier_stretches_are_looked_at_too(result):
    plain = json.loads(json.dumps(result.selection.to_dict()))
    with pytest.raises(ConfigError, match=r"earlier\[0\]\.winner"):
        Selection.from_dict({**plain, "earlier": [{**plain, "winner": MARKUP}]})
    nested = plain
    for _ in range(3000):
        nested = {**plain, "earlier": [nested]}
    with pytest.raises(ConfigError):
        Selection.from_dict(nested)


def test_a_page_escapes_markup_in_a_receipt(result):
    from dataclasses import replace

    selection = result.selection
    first, *others = selection.candidates
    odd = replace(selection, candidates=(replace(first, index=MARKUP), *others), winner=MARKUP, order=(MARKUP,))
    assert RAW not in odd.to_html()
    assert RAW not in (odd._repr_html_() or "")


# Files

COLUMNS = {
    "recorded": {"selections": ("name", "recorded", "receipt"), "calls": ("texts", "tools", "candidates", "tokens")},
    "run_file": {"run": ("value",), "rollouts": ("number", "started", "error", "final_action"), "calls": ("model",)},
}
CELLS = [MARKUP, b"\xff\xfe\x00", -1, 1e308, 10**12, "", "null", json.dumps(MARKUP), json.dumps([[[MARKUP, 0.5]]])]
CELLS += ["[" * 5000, '{"__message__": {"type": "ai", "data": 1}}', json.dumps([{"name": MARKUP}])]


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("cell", CELLS, ids=range(len(CELLS)))
def test_any_value_in_any_column(name, cell, tmp_path, request):
    file = request.getfixturevalue(name)
    for table, columns in COLUMNS[name].items():
        for column in columns:
            copy = changed(file, tmp_path, f"UPDATE OR IGNORE {table} SET {column} = ?", (cell,))
            looked_at(copy, tmp_path, *(["--task", "task"] if name == "run_file" else []))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE rollouts SET number = 'one' WHERE id = 1", "rollouts.number is 'one', not a whole number"),
        ("UPDATE rollouts SET started = 'noon'", "rollout.started is 'noon', not a number"),
        ("UPDATE calls SET texts = '[1]'", r"texts\[0\] is 1, not text"),
        ("UPDATE calls SET tools = '[{}]'", r"tools\[0\] has no name"),
        ("UPDATE calls SET tokens = 1000000000000", "one entropy, or NaN, for each token"),
        ("UPDATE calls SET candidates = '[[[1, 0.5]]]'", "not texts with probabilities"),
        ("UPDATE timelines SET data = x'00'", "buffer size"),
        ("DELETE FROM timelines", "one entropy, or NaN, for each token"),
        ("UPDATE rollouts SET final_action = '{'", "not what ec_agent writes"),
    ],
)
def test_a_rollout_that_cannot_be_read_is_named(recorded, tmp_path, statement, words):
    with TraceStore(changed(recorded, tmp_path, statement)) as store, pytest.raises(TraceError, match=words) as caught:
        list(store.rollouts())
    assert "rollout 1" in str(caught.value)
    assert "restore it from a copy" in str(caught.value)


def read(file, reading):
    with TraceStore(file) as store:
        reading(store)
        store.costs()


def test_a_damaged_file_is_an_error_of_ours(run_file, tmp_path):
    raw = bytearray(run_file.read_bytes())
    raw[4096 * 2 :] = b"\xab" * (len(raw) - 4096 * 2)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(raw)
    for reading in (TraceStore.settings, TraceStore.keys, TraceStore.totals, lambda store: list(store.rollouts())):
        with pytest.raises(TraceError):
            read(damaged, reading)


def test_pruning_losers_keeps_the_winners_timeline(result, tmp_path):
    file, page = tmp_path / "traces.db", tmp_path / "page.html"
    with TraceStore(file, create=True) as store:
        candidates = store.candidates(store.record(result, name="x"))
        store.forget(rollout for rollout, number, _ in candidates if number != result.selection.winner)
    said_of("report", file, "--html", page)
    text = page.read_text(encoding="utf-8")
    assert "(pruned)" in text
    assert text.count('class="data"') == 1
