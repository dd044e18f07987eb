"""Data sets from a file of the user's: the rows of JSONL, JSON or Parquet, as the data set is published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.support.checks import cause_of, file_path, repr_of
from ec_agent.support.lazy import needed

ENDINGS = (".jsonl", ".json", ".parquet")
Row = Mapping[str, Any]


def rows_of(source: str, part: str, limit: int | None, *, published: str, columns: str) -> list[Row]:
    """The rows of the file that is named behind the colon.

    Args:
        source: the name of the task source.
        part: the file, or a folder: then its files, by name.
        limit: at most so many rows, the first ones.
        published: where the data set can be had, for the error.
        columns: the columns that are read, for the error.

    Raises:
        ConfigError: no file is named, or it cannot be read, or has no rows.
    """
    wanted = f"{source}:FILE, a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file with the columns {columns}"
    if not part:
        raise ConfigError(f"{source} comes in no package; download {published}, and write {wanted}")
    path = file_path("the file", part, "the name of a file")
    files = sorted(each for each in path.iterdir() if each.suffix in ENDINGS) if path.is_dir() else [path]
    if not files or not all(each.is_file() for each in files):
        raise ConfigError(f"{part} is no file with the tasks of {source}; download {published}, and write {wanted}")
    found = list(islice((row for each in files for row in _rows(each)), limit))
    if not found:
        raise ConfigError(f"{part} has no rows; write {wanted}")
    return found


def cell(row: Row, place: int, *names: str) -> Any:
    """The first of some columns that a row has.

    Args:
        row: the row.
        place: its number, from 1.
        *names: of columns, the preferred one first.

    Raises:
        ConfigError: it has none of them, or only empty ones.
    """
    for name in names:
        value = row.get(name)
        if value is not None and value != "":
            return value
    if empty := [name for name in names if name in row]:
        raise ConfigError(f"row {place} has nothing in {' or '.join(empty)}. Give the data set as it is published")
    raise ConfigError(
        f"row {place} has no column {' or '.join(names)}; it has {', '.join(map(str, row)) or 'none'}. Give the data "
        "set as it is published"
    )


def _rows(file: Path) -> Iterator[Row]:
    if file.suffix not in ENDINGS:
        raise ConfigError(f"{file} is of no kind that can be read; give a file that ends in {', '.join(ENDINGS)}")
    if file.suffix == ".parquet":
        yield from _parquet(file)
        return
    try:
        text = file.read_text(encoding="utf-8-sig")
        lines = json.loads(text) if file.suffix == ".json" else map(json.loads, filter(str.strip, text.split("\n")))
        for place, row in enumerate(lines, start=1):
            if not isinstance(row, dict):
                raise ConfigError(f"{file}, row {place} is {repr_of(row)}; give one object a row")
            yield row
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read ({cause_of(error)}); give it as the data set is published") from error


def _parquet(file: Path) -> Iterator[Row]:
    parquet = needed("pyarrow.parquet", "Parquet files need", "ec-agent[parquet]")
    try:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches(64):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        raise ConfigError(f"{file} cannot be read ({cause_of(error)}); give it as the data set is published") from error
