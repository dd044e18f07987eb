"""One Parquet file that is written row by row, or column by column, in groups."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ec_agent.support.from_plain import text_of
from ec_agent.support.private_files import make_private
from ec_agent.traces.stored import VERSION

_TEXT, _SIGNAL = pa.string(), pa.float32()


class ParquetTable:
    """One Parquet file. Rows are collected until they fill a group. The file is called ``*.part`` until it is complete.

    If the ``with`` block is left by an error, the ``*.part`` file is deleted.

    Args:
        path: the file.
        columns: name and type of each column.
        group: number of rows in a group.

    Attributes:
        count: number of rows that were added.
    """

    def __init__(self, path: Path, columns: list[pa.Field], group: int) -> None:
        self._schema = pa.schema(columns, metadata={"ec_agent.traces": str(VERSION)})
        self._path, self._part, self._group = path, path.with_name(f"{path.name}.part"), group
        make_private(self._part)
        # Signals hardly repeat: a dictionary of them, which Parquet makes unless told, takes more than they do.
        repeating = [field.name for field in columns if not (field.type == _SIGNAL or pa.types.is_list(field.type))]
        self._writer = pq.ParquetWriter(self._part, self._schema, compression="zstd", use_dictionary=repeating)
        self._rows: list[tuple[Any, ...]] = []
        self._batches: list[pa.RecordBatch] = []
        self._waiting = self.count = 0

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
            self._writer.close()
            if kind is None:
                os.replace(self._part, self._path)
        finally:
            with suppress(OSError):  # an incomplete file must not take space on a disk that may be full
                self._part.unlink(missing_ok=True)

    def add(self, row: tuple[Any, ...]) -> None:
        """Add a row."""
        self._rows.append(row)
        self._grown(1)

    def add_columns(self, columns: list[pa.Array]) -> None:
        """Add several rows, column by column."""
        self._batches.append(pa.record_batch(columns, schema=self._schema))
        self._grown(len(columns[0]))

    def flush(self) -> None:
        """Write the rows that were collected."""
        if self._rows:
            columns = zip(self._schema, zip(*self._rows, strict=True), strict=True)
            fitting = [column_of(field.type, values) for field, values in columns]
            self._batches.append(pa.record_batch(fitting, schema=self._schema))
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=self._group)
        self._rows, self._batches, self._waiting = [], [], 0

    def finish(self) -> None:
        """Write all rows and close the file; it gets its name at the end of the ``with`` block."""
        self.flush()
        self._writer.close()

    def _grown(self, rows: int) -> None:
        self.count += rows
        self._waiting += rows
        if self._waiting >= self._group:
            self.flush()


def column_of(kind: pa.DataType, values: Any) -> pa.Array:
    """Make a column of values; half a character, which UTF-8 cannot hold, is written out."""
    return pa.array(map(text_of, values) if kind == _TEXT else values, kind)
