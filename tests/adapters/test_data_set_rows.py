"""Files of data sets as they are published: what is read of them, and what is said of a wrong one."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.rows import cell, rows_of

ROWS = [{"id": "a", "deep": {"n": [1, 2]}}, {"id": "ü", "deep": {"n": []}}, {"id": "c", "deep": {"n": [3]}}]


def put(folder, ending):
    file = folder / f"data{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    elif ending == ".json":
        file.write_text(json.dumps(ROWS), encoding="utf-8")
    else:
        file.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n", encoding="utf-8")
    return file


def rows(part, limit=None):
    return rows_of("aime2025", str(part), limit, published="the data set", columns="problem and answer")


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet"])
def test_every_form(tmp_path, ending):
    file = put(tmp_path, ending)
    assert rows(file) == ROWS
    assert rows(file, 2) == ROWS[:2]
    assert rows(tmp_path) == ROWS


def test_a_folder_is_its_files_by_name(tmp_path):
    (tmp_path / "b.jsonl").write_text('{"id": 2}\n')
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "README.md").write_text("no rows")
    assert [row["id"] for row in rows(tmp_path)] == [1, 2]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("data.csv", "a,b", r"data\.csv is of no kind that can be read; give a file that ends in \.jsonl"),
        ("data.jsonl", '{"id": 1}\n[1]\n', r"row 2 is \[1\]; give one object a row"),
        ("data.jsonl", '{"id": 1}\n{"id"', "cannot be read"),
        ("data.jsonl", "\n", "has no rows; write aime2025:FILE"),
        ("data.json", "3", "cannot be read"),
        ("data.json", "[" * 100_000, "cannot be read"),
        ("data.parquet", "PAR1", "cannot be read"),
    ],
    ids=["csv", "list", "torn", "empty", "number", "deep", "parquet"],
)
def test_a_wrong_file(tmp_path, name, text, match):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError, match=match):
        rows(file)


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"comes in no package; download the data set, and write aime2025:FILE"):
        rows("")
    for missing in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(ConfigError, match="is no file with the tasks of aime2025"):
            rows(missing)


def test_cells():
    row = {"question": "", "problem": 0, "prompt": None}
    assert cell(row, 7, "question", "problem") == 0
    with pytest.raises(ConfigError, match=r"row 7 has nothing in question or prompt. Give the data set"):
        cell(row, 7, "question", "prompt")
    with pytest.raises(ConfigError, match=r"row 7 has nothing in prompt. Give"):
        cell(row, 7, "other", "prompt")
    with pytest.raises(ConfigError, match=r"row 7 has no column other; it has question, problem, prompt. Give"):
        cell(row, 7, "other")
