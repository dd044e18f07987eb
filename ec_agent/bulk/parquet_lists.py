"""A Parquet file with one row a rollout: its lists, read in parts, and a file of the centroids, written at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from ec_agent.bulk.lists import PART, check_type, columns_of, score_rows, sizes_of
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.many_timelines import SWEEP
from ec_agent.support.checks import cause_of
from ec_agent.support.private_files import owner_only

MAX_ROLLOUT = 256 << 20
"""Limit in bytes for the list of one rollout, as float64: it is read into memory whole."""

_GROUP_ROWS, _GROUP_BYTES = 1 << 16, 64 << 20
"""Results are written in groups of about so many rows or bytes."""

_BUFFER = 1 << 20
"""Bytes read at a time. Unless told so, pyarrow reads a column's whole row group, which other programs make large."""

_MARK = b"ec_agent.sweep"
"""Under this key a file of results says what it was made of."""

_LARGEST_PART = 1 << 16  # rows
_PART = ".part"  # how the name of a file ends that is not complete


@dataclass(frozen=True, slots=True)
class Lists:
    """Which lists of a Parquet file are scored.

    Attributes:
        column: name of the column.
        top_logprobs: whether it holds the logprobs of each token's candidates; otherwise it holds entropies.
        most: limit in bytes for the list of one rollout.
    """

    column: str = "entropy"
    top_logprobs: bool = False
    most: int = MAX_ROLLOUT


class ListFile:
    """A Parquet file with lists. It is checked when it is opened, and read by ``parts()``.

    Args:
        path: the file.
        lists: which lists of it.

    Attributes:
        path: the file.
        lists: which lists of it.
        rows: number of rows, one for each rollout.
        values: number of values in the lists of all rows; a null or empty list counts as one.
        about: what the results depend on, as plain JSON: the file as it is now, the column, the settings.

    Raises:
        LogprobsError: the file cannot be read as Parquet, or has no such lists.
    """

    def __init__(self, path: Path, lists: Lists) -> None:
        self.path, self.lists = path, lists
        with self._opened() as file:
            self.rows = file.metadata.num_rows
            self.values = sum(self._values_in(file))
            self._carried = self._checked(file.schema_arrow)
        stat = path.stat()
        self.about = {
            "file": path.name,
            "bytes": stat.st_size,
            "changed": stat.st_mtime_ns,
            "column": lists.column,
            "top_logprobs": lists.top_logprobs,
            "settings": [config.to_dict() for config in SWEEP],
        }

    def parts(self) -> Iterator[pa.Table]:
        """Read the file part by part.

        Yields:
            The next rows: the column of lists, and all columns that hold one value a row.

        Raises:
            LogprobsError: the file is damaged, or a rollout's list is larger than the limit.
        """
        with self._opened() as file:
            for group, values in enumerate(self._values_in(file)):
                rows = file.metadata.row_group(group).num_rows
                size = min(max(rows * PART // max(values, 1), 1), _LARGEST_PART)
                # One group at a time: with several, pyarrow keeps what it has read of all of them.
                self._check_room(rows, values // max(rows, 1))
                parts = file.iter_batches(size, [group], [*self._carried, self.lists.column], use_threads=False)
                for part in parts:
                    self._check_room(rows, int(sizes_of(part.column(self.lists.column)).max(initial=0)))
                    yield pa.Table.from_batches([part])

    def scored(self) -> Iterator[pa.Table]:
        """Score the file part by part. Yield the columns with one value a row, and the centroids.

        Raises:
            LogprobsError: the file is damaged, a row is null, an entropy infinite, or a list larger than the limit.
        """
        done = 0
        for part in self.parts():
            try:
                given = part[self.lists.column]
                scores = score_rows(given, SWEEP, top_logprobs=self.lists.top_logprobs, first=done)
            except LogprobsError as error:
                raise LogprobsError(f"{self.path}, column {self.lists.column!r}: {error}") from error
            for place, name in enumerate(self._carried):
                scores = scores.add_column(place, part.schema.field(name), part[name])
            yield scores
            done += part.num_rows

    def schema(self) -> pa.Schema:
        """Return the schema of the results, with what they were made of."""
        with self._opened() as file:
            carried = [file.schema_arrow.field(name) for name in self._carried]
        scores = [pa.field(name, pa.float64()) for name in columns_of(SWEEP)]
        return pa.schema([*carried, *scores], metadata={_MARK: json.dumps(self.about)})

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            # pyarrow is given an open file: it takes no name that is not UTF-8.
            with self.path.open("rb") as source, pq.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False) as file:
                yield file
        except (OSError, pa.ArrowException, ValueError) as error:
            if isinstance(error, LogprobsError):
                raise
            if isinstance(error, FileNotFoundError | PermissionError):
                hint = "name a Parquet file that can be read, or a folder of them"
                raise LogprobsError(f"cannot read {self.path} ({cause_of(error)}); {hint}") from error
            raise LogprobsError(
                f"{self.path} cannot be read as Parquet ({cause_of(error)}); if it is damaged, write it anew"
            ) from error

    def _values_in(self, file: pq.ParquetFile) -> Iterator[int]:
        """Yield how many values the lists of each row group have."""
        facts = file.metadata
        leaves = [
            leaf
            for leaf in range(facts.num_columns)
            if facts.schema.column(leaf).path.partition(".")[0] == self.lists.column
        ]
        for group in range(facts.num_row_groups):
            yield sum(facts.row_group(group).column(leaf).num_values for leaf in leaves)

    def _checked(self, schema: pa.Schema) -> tuple[str, ...]:
        """Check the columns; return the names of those that the results have, too."""
        column = self.lists.column
        if schema.names.count(column) != 1:
            there = ", ".join(schema.names) or "none"
            raise LogprobsError(
                f"{self.path} has no column {column!r} (its columns: {there}); name the column of lists with --column, "
                "or leave the file out. `ec-agent traces export` writes such files into the folder timelines"
            )
        check_type(schema.field(column).type, f"{self.path}: {column}", top_logprobs=self.lists.top_logprobs)
        carried = tuple(
            field.name
            for field in schema
            if not (pa.types.is_nested(field.type) or isinstance(field.type, pa.BaseExtensionType))
            and schema.names.count(field.name) == 1
        )
        if both := set(carried) & set(columns_of(SWEEP)):
            raise LogprobsError(
                f"{self.path} has a column {min(both)!r}, as the results have; write the file without it"
            )
        return carried

    def _check_room(self, rows: int, values: int) -> None:
        if rows and 8 * values > self.lists.most:
            raise LogprobsError(
                f"{self.path}: the list of a rollout takes {8 * values >> 20:,} MB of memory, more than the limit of "
                f"{self.lists.most >> 20:,}; if you trust the file, give a larger --max-record"
            )


def made_of(path: Path) -> Any:
    """Return what a file of results says that it was made of; ``None`` if it is no such file, or cannot be read."""
    try:
        with path.open("rb") as source:
            return json.loads((pq.read_schema(source).metadata or {})[_MARK])
    except (OSError, pa.ArrowException, KeyError, ValueError, RecursionError):
        return None


def score_file(file: ListFile, out: Path, advance: Callable[[int], None]) -> None:
    """Score a file and write the results. They appear under their name only when they are complete.

    Args:
        file: the file.
        out: the file of results. Its folders are made.
        advance: is told how many rows more are done.

    Raises:
        LogprobsError: the file cannot be read.
        ConfigError: the results cannot be written.
    """
    part = out.with_name(f"{out.name}.{uuid4().hex}{_PART}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb", opener=owner_only) as target:
                _write(file, target, advance)
            os.replace(part, out)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{out} cannot be written ({cause_of(error)}); name another folder with --out, one for each run"
        ) from error


def forget_parts(outs: Iterable[Path]) -> None:
    """Delete what a run that was killed left of these files of results."""
    wanted = set(outs)
    for folder in {out.parent for out in wanted}:
        with suppress(OSError):
            for left in folder.iterdir():
                if left.name.endswith(_PART) and left.with_name(left.name[: -len(_PART) - 33]) in wanted:
                    left.unlink(missing_ok=True)


def _write(file: ListFile, target: IO[bytes], advance: Callable[[int], None]) -> None:
    schema = file.schema()
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for scores in file.scored():
            waiting.append(scores.cast(schema))
            if sum(map(len, waiting)) >= _GROUP_ROWS or sum(each.nbytes for each in waiting) >= _GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
            advance(len(scores))
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
