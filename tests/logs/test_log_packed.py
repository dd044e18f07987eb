"""Files packed with gzip, and Parquet files, give what the lines in them give."""

from __future__ import annotations

import gzip
import json
import random
import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ec_agent import LogprobsError, TraceStore, best_of_n
from ec_agent.cli.app import app
from ec_agent.logs import found_in, opened
from ec_agent.logs.bounds import Bounds
from ec_agent.support.extras import installing
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for

FIRST, SECOND = [2.0, 0.1, 0.1], [0.1, 1.0]


def told(path, bounds=None):
    troubles = []
    with opened(path, bounds=bounds) as source:
        return list(found_in(source, lambda where, what: troubles.append(f"{where} {what}"))), troubles


def response(entropies, **more):
    choice = {"message": {"role": "assistant", "content": "x"}, "logprobs": {"content": logprobs_for(entropies)}}
    return {"choices": [choice], "usage": {"completion_tokens": len(entropies)}, **more}


def are(found, troubles, *expected):
    assert troubles == []
    for each, entropies in zip(found, expected, strict=True):
        np.testing.assert_allclose(each.trajectory.entropies, entropies)


# gzip

PLAIN = {
    "log.jsonl": "\n".join(json.dumps(response(each)) for each in (FIRST, SECOND)),
    "log.json": json.dumps([response(each) for each in (FIRST, SECOND)], indent=1),
    "entropy_results.jsonl": "\n".join(
        json.dumps({"id": str(h), "entropy_sequence": [{"entropy": each} for each in h]}) for h in (FIRST, SECOND)
    ),
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("called", ["{}.gz", "{}", "renamed"])
def test_what_is_packed_is_read(tmp_path, name, called):
    file = tmp_path / called.format(name)
    file.write_bytes(gzip.compress(PLAIN[name].encode()))
    are(*told(file), FIRST, SECOND)


def test_parts_packed_one_after_the_other_are_read(tmp_path):
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(b"".join(gzip.compress(f"{json.dumps(each)}\n".encode()) for each in (FIRST, SECOND)))
    are(*told(file), FIRST, SECOND)


def test_a_packed_trace_file_is_read(tmp_path):
    model = ScriptedChatModel([[Reply("a", entropies=FIRST)], [Reply("b", entropies=SECOND)]])
    with TraceStore(tmp_path / "traces.db", create=True) as store:
        node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2)
        store.record(node.run({"messages": [("user", "?")]}), name="q")
    file = tmp_path / "traces.db.gz"
    file.write_bytes(gzip.compress((tmp_path / "traces.db").read_bytes()))
    are(*told(file), FIRST, SECOND)


@pytest.mark.parametrize("kept", [2, 8, 10])
@pytest.mark.parametrize("name", PLAIN)
def test_a_file_cut_before_its_first_letter_is_not_called_empty(tmp_path, name, kept):
    file = tmp_path / f"{name}.gz"
    file.write_bytes(gzip.compress(PLAIN[name].encode())[:kept])
    with pytest.raises(LogprobsError, match=r"damaged or cut off .* pack it again"):
        told(file)


def test_standard_input_may_be_packed():
    packed = gzip.compress(json.dumps(FIRST).encode())
    done = CliRunner().invoke(app, ["score", "-", "--json"], input=packed)
    assert json.loads(done.stdout)["tokens"] == 3


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_of_a_damaged_file_the_beginning_is_read(tmp_path, damage):
    draw = random.Random(5)
    text = "\n".join(json.dumps([draw.random() for _ in range(1000)]) for _ in range(30))
    packed = bytearray(gzip.compress(text.encode()))
    if damage == "cut":
        del packed[len(packed) // 2 :]
    else:
        packed[-8] ^= 255  # the checksum
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(packed)
    found, troubles = told(file)
    assert (5 < len(found) < 30) if damage == "cut" else len(found) == 30
    assert "is damaged or cut off" in troubles[-1]
    done = CliRunner().invoke(app, ["score", str(file)])
    assert "at least " in done.stderr


def test_a_file_that_unpacks_to_far_too_much_is_stopped(tmp_path):
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(FIRST).encode() + b"\n" + b" " * (17 << 20)))
    _, troubles = told(file)
    assert "unpacks to more than 200 times its size" in troubles[-1]


# Parquet


def by_pyarrow(rows, path):
    pq.write_table(pa.Table.from_pylist(rows), path)


def by_pandas(rows, path):
    pd.DataFrame(rows).to_parquet(path)


def by_polars(rows, path):
    pl.DataFrame(rows).write_parquet(path)


ROWS = {
    "responses": lambda h: response(h, id=f"r{len(h)}"),
    "responses as text": lambda h: {"id": f"r{len(h)}", "response": json.dumps(response(h)), "cost": 0.5},
    "messages and a response": lambda h: {"messages": [{"role": "user", "content": "q"}], "response": response(h)},
    "entropies": lambda h: {"id": f"r{len(h)}", "entropies": h},
    "the reference code's": lambda h: {"id": f"r{len(h)}", "entropy_sequence": [{"entropy": each} for each in h]},
}


@pytest.mark.parametrize("write", [by_pyarrow, by_pandas, by_polars])
@pytest.mark.parametrize("kind", ROWS)
def test_the_rows_of_a_table_are_rollouts(tmp_path, write, kind):
    file = tmp_path / "table.bin"
    write([ROWS[kind](each) for each in (FIRST, SECOND)], file)
    are(*told(file), FIRST, SECOND)


def test_a_null_is_absent_but_a_gap_in_a_list(tmp_path):
    file = tmp_path / "table.parquet"
    by_pyarrow([{"entropies": FIRST, "choices": None}, {"entropies": [0.5, None, 1.0]}], file)
    are(*told(file), FIRST, [0.5, np.nan, 1.0])


def test_a_table_of_something_else_names_its_rows(tmp_path):
    file = tmp_path / "table.parquet"
    by_pyarrow([{"question": "q", "answer": 3}], file)
    found, (trouble,) = told(file)
    assert found == []
    assert "table.parquet, row 0 cannot be read" in trouble


def test_a_damaged_table_is_refused(tmp_path):
    file = tmp_path / "table.parquet"
    by_pyarrow([{"entropies": FIRST}] * 100, file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(LogprobsError, match="is a Parquet file that cannot be read"):
        told(file)


def test_a_row_that_is_too_large_is_left_out(tmp_path):
    file = tmp_path / "table.parquet"
    by_pyarrow([{"entropies": [0.5] * 100_000}, {"entropies": FIRST}], file)
    found, (trouble,) = told(file, Bounds(record=1 << 16))
    are(found, [], FIRST)
    assert "row 0 is a record of more than" in trouble


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    file = tmp_path / "table.parquet"
    by_pyarrow([{"entropies": FIRST}], file)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LogprobsError, match=re.escape(f"install it ({installing('ec-agent[parquet]')})")):
        told(file)
