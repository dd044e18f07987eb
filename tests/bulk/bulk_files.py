"""Parquet files with lists, and what the library itself says of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

from ec_agent import entropy_centroid
from ec_agent.bulk.lists import column_of
from ec_agent.cli.app import app
from ec_agent.numbers.many_timelines import SWEEP


def drawn(seed, rollouts=12, longest=120):
    """Timelines of many lengths, some tokens without an entropy, in single precision."""
    rng = np.random.default_rng(seed)
    rows = [rng.standard_exponential(rng.integers(longest)).astype(np.float32).tolist() for _ in range(rollouts)]
    return [[None if rng.random() < 0.05 else value for value in row] for row in rows]


def written(path, rows, first=0, **more):
    """A file with these timelines and a number for each rollout, from the first on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"rollout": np.arange(first, first + len(rows)), "task": [f"t{i % 3}" for i in range(len(rows))]}
    lists = pa.array(rows, pa.list_(pa.float32()))
    with path.open("wb") as file:  # pyarrow takes no name that is not UTF-8
        pq.write_table(pa.table({**columns, "entropy": lists}), file, use_dictionary=False, compression="zstd", **more)
    return path


def folder_of(path, files=3, **more):
    """A folder of such files; the timelines of all of them, by the names of the files."""
    rows = {f"part-{number}.parquet": drawn(number, **more) for number in range(files)}
    for number, (name, each) in enumerate(rows.items()):
        written(path / name, each, first=1000 * number)
    return rows


def own(rows):
    """The library's own centroids: a column for each setting."""
    return {column_of(config): [entropy_centroid(row, config) for row in rows] for config in SWEEP}


def results(path):
    """The centroids in a file of results."""
    table = pq.read_table(path)
    return {name: table[name].to_pylist() for name in map(column_of, SWEEP)}


def sweep(*words):
    return CliRunner().invoke(app, ["score", "--sweep", *map(str, words)])
