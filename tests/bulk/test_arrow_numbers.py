"""Numbers of Arrow arrays, of every type, with nulls and cut anywhere, are those that pyarrow itself gives NumPy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from ec_agent.bulk.arrow_numbers import floats_of, lengths_of, nullable

NUMBERS = [3, None, 0, 7, None, None, 5, 1, 2, 9, 11, None]
TYPES = [pa.float32(), pa.float64(), pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()]
LISTS = [[1.0, 2.0], None, [], [None], [1.0, 2.0, 3.0], None, [4.0], [], [5.0], [6.0, 7.0]]
KINDS = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]
CUTS = [slice(0, None), slice(1, None), slice(3, 7), slice(9, None), slice(0, 0), slice(6, 8)]

WITHOUT_PANDAS = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            print("pandas is imported")
        return None

sys.meta_path.insert(0, Refusing())
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from pyarrow import parquet

from ec_agent.bulk.parquet_lists import Lists
from ec_agent.bulk.sweeping import jobs_of, sweep

folder = Path(sys.argv[1])
for column, deep in ("entropies", False), ("logprobs", True):
    file, out = folder / "given.parquet", folder / f"{column}.parquet"
    sweep(jobs_of([(file, out)], Lists(column, top_logprobs=deep)), 1, lambda _: None)
    print(parquet.read_metadata(out).num_rows, "rows")
"""


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_numbers_of_every_type_are_floats_and_nulls_are_nan(kind, cut):
    array = pa.array(NUMBERS, kind)[cut]
    expected = [np.nan if number is None else float(number) for number in NUMBERS[cut]]
    assert floats_of(array).dtype == np.float64
    np.testing.assert_array_equal(floats_of(array), expected)


def test_numbers_without_nulls_are_seen_where_they_are():
    array = pa.array([0.5, 1.5, 2.5])[1:]
    assert floats_of(array).tolist() == [1.5, 2.5]
    assert not floats_of(array).flags.writeable


def test_nothing_but_nulls_is_nan():
    np.testing.assert_array_equal(floats_of(pa.nulls(3)), [np.nan] * 3)


def test_large_whole_numbers_are_rounded_as_numpy_does():
    large = [2**53 + 1, 2**63 - 1, -(2**63)]
    np.testing.assert_array_equal(floats_of(pa.array(large)), np.array(large).astype(np.float64))


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_of_lists_of_every_kind(kind, cut):
    lists = pa.array(LISTS, kind(pa.float32()))[cut]
    assert lengths_of(lists).tolist() == [len(each or []) for each in LISTS[cut]]
    assert lengths_of(lists).dtype == np.int64


def test_a_list_of_fixed_size_that_is_null_has_no_length():
    lists = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2))
    assert lengths_of(lists).tolist() == [2, 0, 2]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 30])
def test_nan_becomes_null(length):
    given = np.arange(length, dtype=float)
    given[::3] = np.nan
    array = nullable(given)
    array.validate(full=True)
    assert array.to_pylist() == [None if np.isnan(number) else number for number in given]
    assert array.equals(pa.array(given, from_pandas=True))


def test_a_column_of_a_table_is_taken_too():
    assert nullable(np.arange(6.0).reshape(3, 2).T[0]).to_pylist() == [0.0, 2.0, 4.0]


def test_a_sweep_does_not_import_pandas(tmp_path):
    """pyarrow imports it where it makes arrays of numbers or NumPy's of them, once in each worker process."""
    entropies = [[0.5, None, 2.0] * 9, [], [1.0]]
    logprobs = [[[-0.1, -3.0], None, [-0.5]], [], [[-1.0]]]
    table = pa.table({"entropies": entropies, "logprobs": logprobs, "task": ["a", "b", "c"]})
    pa.parquet.write_table(table, tmp_path / "given.parquet")
    run = [sys.executable, "-c", WITHOUT_PANDAS, str(tmp_path)]
    said = subprocess.run(run, capture_output=True, text=True, timeout=100, check=True)
    assert said.stdout.splitlines() == ["3 rows", "3 rows"], said.stdout
