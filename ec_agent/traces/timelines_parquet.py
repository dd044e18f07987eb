"""Writes timelines as lists, one row a rollout, into a folder of Parquet files: what ``ec_agent.bulk`` scores.

Such a folder is one table to pandas, polars, DuckDB and others. It has several files, so that several processes can
read it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from ec_agent.numbers.signals import ENTROPY
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.traces.parquet_table import ParquetTable, column_of
from ec_agent.traces.stored import StoredRollout

GROUP = 1 << 20
"""Tokens in a group of rows; a longer timeline is a group alone."""

FILE = 1 << 26
"""Tokens in a file: about 250 MB, and seven seconds of work to score under 27 settings."""

_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()
_PLAIN = {
    "rollout": _WHOLE,
    "task": _TEXT,
    "selection": _WHOLE,
    "kind": _TEXT,
    "number": _WHOLE,
    "verdict": _REAL,
    "tokens": _WHOLE,
    "coverage": _REAL,
}


class TimelineFiles:
    """The folder ``timelines``. Nothing in it has its name before the ``with`` block ends without an error.

    Args:
        folder: the folder. It is made if it is missing.
        signals: names of the signals of which there are lists.

    Attributes:
        count: number of rows that were added.
    """

    def __init__(self, folder: Path, signals: Sequence[str] = (ENTROPY,)) -> None:
        self._folder, self._signals = folder, tuple(signals)
        self._rows: list[StoredRollout] = []
        self._waiting = self._in_file = self.count = 0
        self._files = ExitStack()
        self._numbered = 0

    def __enter__(self) -> TimelineFiles:
        self._folder.mkdir()
        self._table = self._next()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is not None:
                self._files.__exit__(kind, error, at)
            else:
                with self._files:  # if this fails, no file gets its name
                    self._flush()
        finally:
            with suppress(OSError):
                if not any(self._folder.iterdir()):
                    self._folder.rmdir()

    def add(self, rollout: StoredRollout) -> None:
        """Add a rollout."""
        self.count += 1
        self._rows.append(rollout)
        self._waiting += len(rollout.trajectory) + 1
        if self._waiting >= GROUP:
            self._flush()

    def _next(self) -> ParquetTable:
        lists = {name: pa.list_(pa.float32()) for name in self._signals}
        columns = [pa.field(name, kind) for name, kind in {**_PLAIN, **lists}.items()]
        path = self._folder / f"part-{self._numbered:05}.parquet"
        self._numbered += 1
        return self._files.enter_context(ParquetTable(path, columns, GROUP))

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._in_file >= FILE:
            self._table.finish()
            self._table, self._in_file = self._next(), 0
        plain = zip(*map(_plain, self._rows), strict=True)
        columns = [column_of(kind, values) for kind, values in zip(_PLAIN.values(), plain, strict=True)]
        trajectories = [rollout.trajectory for rollout in self._rows]
        self._table.add_columns([*columns, *(_lists(trajectories, name) for name in self._signals)])
        self._table.flush()
        self._in_file += self._waiting
        self._rows, self._waiting = [], 0


def _plain(rollout: StoredRollout) -> tuple[object, ...]:
    key, verdict = rollout.key, None if np.isnan(rollout.verdict) else rollout.verdict
    timeline = rollout.trajectory
    return (
        *(rollout.id, key.task, rollout.selection, key.kind, key.number, verdict),
        *(len(timeline), timeline.coverage),
    )


def _lists(trajectories: Sequence[Trajectory], name: str) -> pa.Array:
    """Make the column of a signal; null for a rollout that lacks it in one of its calls."""
    kept = [name == ENTROPY or all(name in call.signals for call in each.calls) for each in trajectories]
    timelines = [each.signal(name) if has else np.empty(0) for each, has in zip(trajectories, kept, strict=True)]
    ends = np.cumsum([0, *map(len, timelines)])
    values = pa.array(np.concatenate(timelines).astype(np.float32), from_pandas=True)  # from_pandas: NaN becomes null
    lacking = pa.array(~np.array(kept)) if not all(kept) else None
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values, mask=lacking)
