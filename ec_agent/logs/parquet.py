"""Reads the rows of a Parquet file, each as the JSON value that a line of JSONL would have. Needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ec_agent.errors import LogprobsError
from ec_agent.logs.bounds import BoundError, Bounds
from ec_agent.support.checks import cause_of
from ec_agent.support.extras import installing

MAGIC = b"PAR1"
_ROWS, _AT_ONCE = 64, 16 << 20  # rows and bytes that are unpacked at a time


def columns_of(path: Path, label: str) -> list[str]:
    """Return the names of the columns.

    Raises:
        LogprobsError: pyarrow is missing, or the file cannot be read.
    """
    return [str(name) for name in _opened(path, label).schema_arrow.names]


def rows_of(path: Path, label: str, bounds: Bounds) -> Iterator[tuple[Any, int] | BoundError]:
    """Yield each row and its size in bytes, or the error if it is too large. A value that is null counts as absent.

    Raises:
        LogprobsError: pyarrow is missing, or the file cannot be read.
    """
    file = _opened(path, label)
    size = sum(file.metadata.row_group(number).total_byte_size for number in range(file.metadata.num_row_groups))
    rows = max(1, min(_ROWS, _AT_ONCE * file.metadata.num_rows // max(size, 1)))
    try:
        for batch in file.iter_batches(batch_size=rows):
            for place in range(batch.num_rows):
                row = batch.slice(place, 1)
                try:
                    bounds.check_size(row.nbytes)
                except BoundError as error:
                    yield error
                    continue
                yield _without_nulls(row.to_pylist()[0]), row.nbytes
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's own errors derive from these
        raise _damaged(label, error) from error


def _opened(path: Path, label: str) -> Any:
    try:
        parquet = import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "pyarrow":
            raise
        hint = f"install it ({installing('ec-agent[parquet]')}), or save the rows as JSONL"
        raise LogprobsError(f"{label} is a Parquet file, which needs pyarrow; {hint}") from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise _damaged(label, error) from error


def _damaged(label: str, error: Exception) -> LogprobsError:
    return LogprobsError(f"{label} is a Parquet file that cannot be read ({cause_of(error)}); write it anew")


def _without_nulls(value: Any) -> Any:
    """Return a value without the keys that are null: a column's structs all have the keys of all rows."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value
