"""``ec-agent score`` of several files: those that cannot be read are told and left out, as odd records are."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from contextlib import closing

import pytest
from click.testing import CliRunner

from ec_agent import TraceStore, best_of_n
from ec_agent.cli.app import app
from ec_agent.errors import LogprobsError, TraceError
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for

GOOD = {"entropies": [2.0, 0.1, 0.1, 0.1, 0.1, 0.1]}
ALONE = (LogprobsError, TraceError)


def empty(path):
    path.write_bytes(b"")


def blank(path):
    path.write_bytes(b"\xef\xbb\xbf \n\n")


def empty_when_unpacked(path):
    path.write_bytes(gzip.compress(b""))


def cut_before_its_first_letter(path):
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode())[:10])


def database_of_something_else(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE some (id INTEGER)")
    connection.close()


def damaged_table(path):
    path.write_bytes(b"PAR1" + b"\0" * 50)


def folder(path):
    path.mkdir()


UNREADABLE = {
    empty: "is empty",
    blank: "is empty",
    empty_when_unpacked: "is empty",
    cut_before_its_first_letter: "damaged or cut off",
    database_of_something_else: "is a database, but not a trace file",
    damaged_table: "is a Parquet file that cannot be read",
    folder: "Is a directory",
}


@pytest.fixture
def files(tmp_path):
    """A file that can be read on either side of one that is written by the test."""
    for name in ("a.json", "c.json"):
        (tmp_path / name).write_text(json.dumps(GOOD))
    return [tmp_path / name for name in ("a.json", "b", "c.json")]


def score(*words):
    return CliRunner().invoke(app, ["score", *map(str, words)])


@pytest.mark.parametrize("write", UNREADABLE, ids=lambda write: write.__name__)
def test_one_of_several_is_told_and_left_out(files, write):
    write(files[1])
    done = score(*files, "--json", "--one-task")
    assert done.exception is None
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(files[0]), str(files[2])]
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("left out ")]
    assert UNREADABLE[write] in told
    assert str(files[1]) in told
    assert "1 file was left out; --strict stops at the first" in done.stderr


@pytest.mark.parametrize("write", UNREADABLE, ids=lambda write: write.__name__)
def test_alone_or_with_strict_it_is_an_error(files, write):
    write(files[1])
    for words in ([files[1]], [*files, "--strict"]):
        done = score(*words)
        assert isinstance(done.exception, ALONE)
        assert UNREADABLE[write] in str(done.exception)
        assert done.stdout == ""


def test_a_name_that_no_file_has_stops_it_before_anything_is_read(files):
    done = score(files[0], files[1])
    assert isinstance(done.exception, LogprobsError)
    assert f"cannot read {files[1]} (No such file or directory)" in str(done.exception)
    assert done.output == ""


def test_of_files_that_all_cannot_be_read_the_first_is_named(files):
    for file in files:
        file.write_bytes(b"")
    done = score(*files)
    assert isinstance(done.exception, LogprobsError)
    assert f"{files[0]} is empty" in str(done.exception)
    assert "there was nothing else in the files" in str(done.exception)
    assert done.stdout == ""


def test_files_and_records_are_counted_apart(files):
    files[1].write_bytes(b"")
    files[2].write_text(f"{json.dumps(GOOD)}\n{{\n{{\n")
    done = score(*files, "--one-task")
    assert done.exception is None
    assert "1 file and 2 records were left out" in done.stderr


def test_what_was_read_before_a_file_broke_counts(files):
    model = ScriptedChatModel([[Reply("a", entropies=[1.0])], [Reply("b", entropies=[0.5])]])
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2)
    with TraceStore(files[1], create=True) as store:
        store.record(node.run({"messages": "?"}))
    with closing(sqlite3.connect(files[1], isolation_level=None)) as connection:
        connection.execute("UPDATE calls SET tokens = 'many' WHERE rollout = 2")
    done = score(*files, "--json", "--one-task")
    assert done.exception is None
    found = [json.loads(line)["id"] for line in done.stdout.splitlines()]
    assert found == ["0", "selection 1, rollout 0", "0"]
    assert "rollout 2 is not what ec_agent writes" in done.stderr
    assert "1 file was left out" in done.stderr


def test_an_archive_that_is_cut_off_is_told(files):
    with zipfile.ZipFile(files[1], "w") as archive:
        archive.writestr("samples/a.json", json.dumps({"id": "a", "epoch": 1, "events": []}))
    files[1].write_bytes(files[1].read_bytes()[:-10])
    done = score(*files, "--json", "--one-task")
    assert done.exception is None
    assert len(done.stdout.splitlines()) == 2
    assert "is not a complete .eval file" in done.stderr


# Of which task a rollout is

TASKS = [{"id": f"r{number}", "q": "ab"[number // 2], **GOOD} for number in range(4)]


def columns(*words):
    done = score(*words)
    assert done.exception is None
    heading, *rows = [line.split() for line in done.stdout.splitlines() if "─" not in line][2:]
    return heading, [row for row in rows if row]


@pytest.fixture
def of_two_tasks(tmp_path):
    file = tmp_path / "saved.jsonl"
    file.write_text("\n".join(map(json.dumps, TASKS)))
    return file


@pytest.mark.parametrize("of", ["q", "q=(.)"])
def test_tasks_that_were_named_are_shown(of_two_tasks, of):
    heading, rows = columns(of_two_tasks, "--task-from", of)
    assert heading[:2] == ["rollout", "task"]
    assert [row[-7] for row in rows] == ["a", "a", "b", "b"]


def test_one_task_and_tasks_that_the_rollouts_names_tell_are_not_shown(of_two_tasks):
    for option in (["--one-task"], ["--task-from", "(r.)"]):
        heading, _ = columns(of_two_tasks, *option)
        assert "task" not in heading


def test_of_a_question_that_was_asked_only_its_mark_is_shown(tmp_path):
    file = tmp_path / "saved.jsonl"
    choices = [{"logprobs": {"content": logprobs_for(GOOD["entropies"])}}]
    asked = [
        {"messages": [{"role": "user", "content": f"question {n // 2}"}], "response": {"choices": choices}}
        for n in range(4)
    ]
    file.write_text("\n".join(map(json.dumps, asked)))
    _, rows = columns(file)
    marks = [row[-7] for row in rows]
    assert [len(mark) for mark in marks] == [6] * 4
    assert (marks[0] == marks[1], marks[1] == marks[2]) == (True, False)


@pytest.mark.parametrize("kind", ["npz", "parquet"])
@pytest.mark.parametrize("option", [[], ["--json"]], ids=["table", "json"])
def test_a_sweep_that_scores_nothing_prints_no_table(tmp_path, kind, option):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / f"zero.{kind}"
    if kind == "npz":
        np.savez(file, entropies=np.zeros(0), lengths=np.zeros(0, np.int64))
    else:
        pq.write_table(pa.table({"entropy": pa.array([], pa.list_(pa.float32()))}), file)
    done = score(file, "--sweep", *option)
    assert isinstance(done.exception, LogprobsError)
    assert done.stdout == ""
