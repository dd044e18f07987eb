"""What others read of a Parquet file, scored in their own engines, has the library's own bits."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bulk_files import folder_of, own
from ray_cluster import RAY, did_not_start

from ec_agent.bulk import score_lists

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A folder that has ``tables/timelines``, in which programs run; and the timelines."""
    rows = folder_of(tmp_path / "tables" / "timelines")
    monkeypatch.chdir(tmp_path)
    return [row for each in rows.values() for row in each]


def recipe(library):
    """The block of the page that imports a library."""
    blocks = [block.partition("```")[0] for block in PAGE.read_text(encoding="utf-8").split("```python\n")[1:]]
    (found,) = [block for block in blocks if f"import {library}\n" in block]
    return found


def scores_in(names, rows):
    table = names["scores"]
    assert {name: table[name].to_pylist() for name in own(rows)} == own(rows)


def test_polars(tables):
    pytest.importorskip("polars")
    names = {}
    exec(recipe("polars"), names)
    scores_in(names, tables)


def test_duckdb(tables):
    pytest.importorskip("duckdb")
    names = {}
    exec(recipe("duckdb"), names)
    scores_in(names, tables)


def test_pandas_and_numpy_lists(tables):
    import pandas
    import pyarrow

    frame = pandas.read_parquet("tables/timelines")
    assert score_lists(pyarrow.Array.from_pandas(frame["entropy"])).to_pydict() == own(tables)


BEGIN = """
import ray
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
print("begun", flush=True)
"""


@pytest.mark.whole_form("Ray Data takes half a minute to start")
def test_ray_data(tables):
    """In a process of its own, because a cluster that cannot start may wait for ever; it ends with that process."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'ray[data]'")
    run = [sys.executable, "-c", BEGIN + recipe("ray")]
    try:
        done = subprocess.run(run, env={**os.environ, **RAY}, capture_output=True, text=True, timeout=400)
    except subprocess.TimeoutExpired as late:
        if b"begun" in (late.stdout or b""):
            raise
        pytest.skip("Ray did not start a cluster within 400 seconds")
    if "begun" not in done.stdout:
        did_not_start(done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    scores = pq.read_table("scores").sort_by("rollout")
    assert {name: scores[name].to_pylist() for name in own(tables)} == own(tables)
