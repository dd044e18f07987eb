"""Exports a trace store as Parquet tables, for pandas, polars, DuckDB and others. docs/traces.md lists the columns.

Rows are written in groups, so that only one rollout and one group per table are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ec_agent.errors import ConfigError, TraceError
from ec_agent.numbers.call_fields import PLAIN_FIELDS, plain_of
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import ENTROPY, SIGNALS, known_signals
from ec_agent.numbers.trajectory import Call
from ec_agent.rollouts.selection import Selection
from ec_agent.support.checks import one_of
from ec_agent.support.from_plain import plain_fields
from ec_agent.support.strict_json import strict_json
from ec_agent.traces.actions import action_to_json
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.parquet_table import ParquetTable
from ec_agent.traces.stored import USAGE, StoredRollout, StoredSelection
from ec_agent.traces.timelines_parquet import TimelineFiles

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
TIMELINES = "timelines"
NAMES = (*TABLES, TIMELINES)
"""The names of all tables."""


def export_parquet(
    store: TraceStoreProtocol,
    folder: Path,
    config: HEPConfig | None = None,
    *,
    tables: Sequence[str] = NAMES,
    signals: Sequence[str] = (ENTROPY,),
) -> dict[str, int]:
    """Write the tables of ``NAMES`` into a folder.

    ``selections``, ``rollouts``, ``calls`` and ``tokens`` are a file each, such as ``tokens.parquet``. ``timelines``,
    which has one row for each rollout and in it its signals as lists, is a folder of files, ``part-00000.parquet`` and
    so on.

    Args:
        store: the store to export.
        folder: the folder. It is made if it is missing, and must not have these tables. Only their owner can read them.
        config: settings of the phases, for the columns ``centroid`` and ``phases``. ``None`` means ``HEPConfig()``.
            These columns are for inspection: they ignore whether the coverage is high enough for a score.
        tables: names of the tables to write.
        signals: names of the signals of which ``timelines`` has lists.

    Returns:
        The number of rows of each table, by name.

    Raises:
        TraceError: the folder cannot be written, or has one of these tables.
        ConfigError: a name is that of no table, or of no signal.
    """
    for name in tables:
        one_of("tables", name, NAMES)
    there = [place.name for name in tables if (place := _place(folder, name)).exists()]
    if there:
        raise TraceError(f"{folder} has {there[0]} already; give another folder, or delete it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            plain = {name: stack.enter_context(_table(folder, name)) for name in TABLES if name in tables}
            timelines = None
            if TIMELINES in tables:
                timelines = stack.enter_context(
                    TimelineFiles(_place(folder, TIMELINES), tuple(dict.fromkeys(known_signals(signals))))
                )
            _write(store, plain, timelines, config)
    except OSError as error:
        raise TraceError(f"{folder} cannot be written ({error}); give another folder") from error
    except (pa.ArrowException, OverflowError, ValueError) as error:  # a number that is too large, for example
        if isinstance(error, ConfigError):
            raise
        raise TraceError(
            f"{store.name} holds a value that Parquet cannot hold ({error}); restore the store from a copy"
        ) from error

    counts = {name: table.count for name, table in plain.items()}
    return counts if timelines is None else {**counts, TIMELINES: timelines.count}


def _table(folder: Path, name: str) -> ParquetTable:
    fields = [pa.field(column, kind) for column, kind in TABLES[name].items()]
    return ParquetTable(_place(folder, name), fields, GROUP)


def _place(folder: Path, table: str) -> Path:
    return folder / (table if table == TIMELINES else f"{table}.parquet")


def _write(
    store: TraceStoreProtocol,
    plain: Mapping[str, ParquetTable],
    timelines: TimelineFiles | None,
    config: HEPConfig | None,
) -> None:
    winners = {}
    for kept in store.selections():
        winners[kept.id] = kept.receipt.winner
        if table := plain.get("selections"):
            table.add(_selection(kept))
    for rollout in store.rollouts():
        if table := plain.get("rollouts"):
            table.add(_rollout(rollout, winners, config))
        if timelines is not None:
            timelines.add(rollout)
        begins = 0
        for place, call in enumerate(rollout.trajectory.calls):
            if table := plain.get("calls"):
                table.add(_call(rollout, place, begins, call))
            if table := plain.get("tokens"):
                table.add_columns(_tokens(rollout, place, begins, call))
            begins += call.tokens or 0
    for table in plain.values():  # before the first file gets its name, so that a full disk leaves none
        table.flush()


def _selection(kept: StoredSelection) -> tuple[Any, ...]:
    receipt = kept.receipt
    columns = (getattr(receipt, each.name) for each in _OF_RECEIPT)
    return kept.id, kept.name, _micro(kept.recorded), *columns, strict_json(receipt.to_dict())


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
