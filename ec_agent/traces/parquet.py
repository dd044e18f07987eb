"""Exports a trace store as Parquet tables, for pandas, polars, DuckDB and others. docs/traces.md lists the columns.

Rows are written in groups, so that only one rollout and one group per table are in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ec_agent.errors import TraceError
from ec_agent.numbers.call_fields import PLAIN_FIELDS, plain_of
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import SIGNALS
from ec_agent.numbers.trajectory import Call
from ec_agent.rollouts.selection import Selection
from ec_agent.support.from_plain import plain_fields, text_of
from ec_agent.support.private_files import make_private
from ec_agent.support.strict_json import strict_json
from ec_agent.traces.actions import action_to_json
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.stored import USAGE, VERSION, StoredRollout

GROUP = 1 << 16  # rows
_TIME = pa.timestamp("us", tz="UTC")
_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()
_KINDS = {int: _WHOLE, float: _REAL, str: _TEXT, bool: pa.bool_()}
_TIMES = ("started", "ended")  # of a call
_OF_RECEIPT = plain_fields(Selection)
TABLES: Mapping[str, Mapping[str, pa.DataType]] = {
    "selections": {
        "selection": _WHOLE,
        "name": _TEXT,
        "recorded": _TIME,
        **{each.name: _KINDS[each.kind] for each in _OF_RECEIPT},
        "receipt": _TEXT,
    },
    "rollouts": {
        "rollout": _WHOLE,
        "task": _TEXT,
        "selection": _WHOLE,
        "kind": _TEXT,
        "number": _WHOLE,
        "chosen": pa.bool_(),
        "verdict": _REAL,
        "error": _TEXT,
        "centroid": _REAL,
        "phases": _WHOLE,
        "tokens": _WHOLE,
        "scored_tokens": _WHOLE,
        "coverage": _REAL,
        "model_calls": _WHOLE,
        "tool_calls": _WHOLE,
        **dict.fromkeys(USAGE, _WHOLE),
        "started": _TIME,
        "seconds": _REAL,
        "seed": _WHOLE,
        "sampling": _TEXT,
        "unsampled_calls": _WHOLE,
        "final_action": _TEXT,
    },
    "calls": {
        "rollout": _WHOLE,
        "call": _WHOLE,
        "begins": _WHOLE,
        **{each.name: _TIME if each.name in _TIMES else _KINDS[each.kind] for each in PLAIN_FIELDS},
    },
    "tokens": {
        "rollout": _WHOLE,
        "call": _WHOLE,
        "place": _WHOLE,
        "text": _TEXT,
        **dict.fromkeys(SIGNALS, pa.float32()),
    },
}


def export_parquet(store: TraceStoreProtocol, folder: Path, config: HEPConfig | None = None) -> dict[str, int]:
    """Write the tables ``selections``, ``rollouts``, ``calls`` and ``tokens`` as ``.parquet`` files into a folder.

    Args:
        store: the store to export.
        folder: the folder. It is made if it is missing, and must not have these files. Only their owner can read them.
        config: settings of the phases, for the columns ``centroid`` and ``phases``. ``None`` means ``HEPConfig()``.
            These columns are for inspection: they ignore whether the coverage is high enough for a score.

    Returns:
        The number of rows of each table, by name.

    Raises:
        TraceError: the folder cannot be written, or has one of these files.
    """
    there = [name for name in TABLES if (folder / f"{name}.parquet").exists()]
    if there:
        raise TraceError(f"{folder} has {there[0]}.parquet already; give another folder, or delete it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            tables = {name: stack.enter_context(_Table(folder, name)) for name in TABLES}
            winners = {}
            for kept in store.selections():
                receipt = kept.receipt
                winners[kept.id] = receipt.winner
                plain = strict_json(receipt.to_dict())
                columns = (getattr(receipt, each.name) for each in _OF_RECEIPT)
                tables["selections"].add((kept.id, kept.name, _micro(kept.recorded), *columns, plain))
            for rollout in store.rollouts():
                tables["rollouts"].add(_rollout(rollout, winners, config))
                begins = 0
                for place, call in enumerate(rollout.trajectory.calls):
                    tables["calls"].add(_call(rollout, place, begins, call))
                    tables["tokens"].add_columns(_tokens(rollout, place, begins, call))
                    begins += call.tokens or 0
    except OSError as error:
        raise TraceError(f"{folder} cannot be written ({error}); give another folder") from error
    except (pa.ArrowException, OverflowError, ValueError) as error:  # a number that is too large, for example
        raise TraceError(
            f"{store.name} holds a value that Parquet cannot hold ({error}); restore the store from a copy"
        ) from error
    return {name: table.count for name, table in tables.items()}


class _Table:
    """One Parquet file. Rows are collected until they fill a group. The file is called ``*.part`` until it is complete.

    If the export fails, the ``*.part`` file is deleted.
    """

    def __init__(self, folder: Path, name: str) -> None:
        fields = [pa.field(column, kind) for column, kind in TABLES[name].items()]
        self._schema = pa.schema(fields, metadata={"ec_agent.traces": str(VERSION)})
        self._path = folder / f"{name}.parquet"
        self._part = folder / f"{name}.parquet.part"
        make_private(self._part)
        self._writer = pq.ParquetWriter(self._part, self._schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []
        self._batches: list[pa.RecordBatch] = []
        self._waiting = self.count = 0

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
            self._writer.close()
            if kind is None:
                os.replace(self._part, self._path)
        finally:
            with suppress(OSError):  # an incomplete file must not take space on a disk that may be full
                self._part.unlink(missing_ok=True)

    def add(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        self._grown(1)

    def add_columns(self, columns: list[pa.Array]) -> None:
        self._batches.append(pa.record_batch(columns, schema=self._schema))
        self._grown(len(columns[0]))

    def _grown(self, rows: int) -> None:
        self.count += rows
        self._waiting += rows
        if self._waiting >= GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(self._schema, zip(*self._rows, strict=True), strict=True)
            fitting = [pa.array(map(text_of, v) if f.type == _TEXT else v, f.type) for f, v in columns]
            self._batches.append(pa.record_batch(fitting, schema=self._schema))
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=GROUP)
        self._rows, self._batches, self._waiting = [], [], 0


def _rollout(rollout: StoredRollout, winners: Mapping[int, int], config: HEPConfig | None) -> tuple[Any, ...]:
    trajectory, key = rollout.trajectory, rollout.key
    chosen = None if rollout.selection is None else winners.get(rollout.selection) == key.number
    verdict = None if np.isnan(rollout.verdict) else rollout.verdict
    return (
        *(rollout.id, key.task, rollout.selection, key.kind, key.number, chosen, verdict, rollout.error),
        *(trajectory.centroid(config), len(trajectory.phases(config).starts), len(trajectory)),
        *(trajectory.scored_tokens, trajectory.coverage, len(trajectory.calls), rollout.tool_calls),
        *(rollout.usage.get(name, 0) for name in USAGE),
        *(_micro(rollout.started), rollout.seconds, rollout.seed, strict_json(dict(rollout.sampling))),
        *(rollout.unsampled_calls, strict_json(json.loads(action_to_json(rollout.final_action)))),
    )


def _call(rollout: StoredRollout, place: int, begins: int, call: Call) -> tuple[Any, ...]:
    plain = plain_of(call)
    plain |= {name: _micro(plain[name]) for name in _TIMES}
    return rollout.id, place, begins, *plain.values()


def _tokens(rollout: StoredRollout, place: int, begins: int, call: Call) -> list[pa.Array]:
    length = call.tokens or 0
    return [
        pa.array(np.full(length, rollout.id), _WHOLE),
        pa.array(np.full(length, place), _WHOLE),
        pa.array(np.arange(begins, begins + length), _WHOLE),
        pa.array(list(_texts(call, length)), _TEXT),
        *(_signal(call, name, length) for name in SIGNALS),
    ]


def _texts(call: Call, length: int) -> Iterator[str | None]:
    texts = call.texts or ()
    for place in range(length):
        # Some tokens are half of a character, which UTF-8 cannot hold.
        yield texts[place].encode(errors="replace").decode() if place < len(texts) else None


def _signal(call: Call, name: str, length: int) -> pa.Array:
    if name != "entropy" and name not in call.signals:
        return pa.nulls(length, pa.float32())
    return pa.array(call.signal(name).astype(np.float32), from_pandas=True)  # from_pandas turns NaN into null


def _micro(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e6)
