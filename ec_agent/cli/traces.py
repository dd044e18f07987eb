"""``ec-agent traces ls``, ``show`` and ``export``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ec_agent.cli.traces_show import rollout_plain, selection_plain, show_rollout, show_selection
from ec_agent.errors import ConfigError, TraceError
from ec_agent.evaluator import CentroidEvaluator
from ec_agent.live.console import plain_console, safe
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import ENTROPY
from ec_agent.support.lazy import needed
from ec_agent.support.number_formats import percent
from ec_agent.support.strict_json import strict_json
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.opening import open_store
from ec_agent.traces.places import named
from ec_agent.traces.stored import StoredRollout, StoredSelection

Row = dict[str, Any]


def run_ls(file: Path | str, *, each: bool, config: str | None, as_json: bool) -> None:
    """List tasks and selections, or rollouts.

    Raises:
        ConfigError: ``config`` cannot be read.
        TraceError: the file cannot be used.
    """
    own = _config(config)
    with open_store(file) as store:
        rows = _rollouts(store, own) if each else _groups(store, own)
        if as_json:
            for row in rows:
                print(strict_json(row))
        else:
            _print(rows, "rollout" if each else "task", file)


def run_show(file: Path | str, what: str, *, config: str | None, text: bool, as_json: bool) -> None:
    """Show a rollout, a selection, or a task's rollouts.

    Raises:
        ConfigError: ``config`` cannot be read.
        TraceError: the file cannot be used, or has nothing of that name.
    """
    own = None if config is None else _config(config)
    with open_store(file) as store:
        place = None if what in store.tasks() else re.fullmatch(r"([rs]?)(\d+)", what)
        if place is not None and place[1] == "s":
            _show_selection(store, int(place[2]), as_json=as_json)
            return
        if place is not None:
            shown = [store.rollout(int(place[2]))]
        else:
            shown = [*store.rollouts(what), *store.rollouts(what, "greedy")]
        if not shown:
            raise TraceError(f"{named(file)} has no rollouts of {what!r}; run `ec-agent traces ls` to see what it has")
        settings = [own or _settings_of(store, rollout) for rollout in shown]
    if as_json:
        plain = [rollout_plain(rollout, each) for rollout, each in zip(shown, settings, strict=True)]
        print(strict_json(plain[0] if place is not None else plain))
        return
    for rollout, each in zip(shown, settings, strict=True):
        show_rollout(rollout, each, plain_console(), text=text)


def _show_selection(store: TraceStoreProtocol, number: int, *, as_json: bool) -> None:
    kept, rollouts = store.selection(number), list(store.rollouts(selection=number))
    if as_json:
        print(strict_json(selection_plain(kept, rollouts)))
    else:
        show_selection(kept, rollouts, plain_console())


def _settings_of(store: TraceStoreProtocol, rollout: StoredRollout) -> HEPConfig:
    return HEPConfig() if rollout.selection is None else store.selection(rollout.selection).receipt.config


def run_export(
    file: Path | str, folder: Path, *, config: str | None, tables: Sequence[str], signals: Sequence[str]
) -> None:
    """Write Parquet tables.

    Args:
        file: the store.
        folder: where to.
        config: settings of the phases. ``None`` means the usual ones.
        tables: names of the tables. None given means all.
        signals: names of the signals in lists. None given means the entropy.

    Raises:
        ConfigError: ``config`` cannot be read, or pyarrow is missing.
        TraceError: the file cannot be used, or the folder not be written.
    """
    own = _config(config)
    needed("pyarrow", "the export needs", "ec-agent[parquet]")
    from ec_agent.traces.parquet import NAMES, TIMELINES, export_parquet

    with open_store(file) as store:
        counts = export_parquet(store, folder, own, tables=tables or NAMES, signals=signals or (ENTROPY,))
        for name, rows in counts.items():
            print(f"{folder / name}{'/' if name == TIMELINES else '.parquet'}  {rows} rows")


def _config(text: str | None) -> HEPConfig:
    if text is None:
        return HEPConfig()
    parts = [part.strip() for part in text.split(",")]
    try:
        top, bottom, low = float(parts[0]), float(parts[1]), int(parts[2])
        if len(parts) != 3:
            raise ValueError(len(parts))
    except (ValueError, IndexError) as error:
        raise ConfigError(f"--config is {text!r}; give three numbers, as 1,80,2") from error
    return HEPConfig(top, bottom, low)


def _rollouts(store: TraceStoreProtocol, config: HEPConfig) -> Iterator[Row]:
    for rollout in store.rollouts():
        trajectory = rollout.trajectory
        yield {
            "id": f"r{rollout.id}",
            "of": rollout.key.task,
            "selection": rollout.selection,
            "kind": rollout.key.kind,
            "number": rollout.key.number,
            "calls": len(trajectory.calls),
            "tokens": len(trajectory),
            "coverage": trajectory.coverage,
            "centroid": _centroid(rollout, config),
            "outcome": _outcome(rollout),
            "error": rollout.error,
        }


def _groups(store: TraceStoreProtocol, config: HEPConfig) -> Iterator[Row]:
    """A row for each task of the run and each selection; of a run's task the lowest centroid is called the winner."""
    for (selection, task), members in groupby(store.rollouts(), lambda rollout: (rollout.selection, rollout.key.task)):
        kept = None if selection is None else store.selection(selection)
        yield _group(kept, task, members, config)


def _group(kept: StoredSelection | None, task: str, members: Iterator[StoredRollout], config: HEPConfig) -> Row:
    row: Row = {
        "id": task if kept is None else f"s{kept.id}",
        "name": task if kept is None else kept.name,
        "selection": None if kept is None else kept.id,
        "recorded": None if kept is None else kept.recorded,
        "rollouts": 0,
        "failed": 0,
        "tokens": 0,
        "winner": None,
        "centroid": None,
        "outcome": None,
    }
    outcomes: list[float] = []
    for rollout in members:
        row["tokens"] += rollout.usage["generated_tokens"]
        if rollout.key.kind == "greedy":
            continue
        row["rollouts"] += 1
        row["failed"] += rollout.error is not None
        outcomes += [] if _outcome(rollout) is None else [rollout.verdict]
        centroid = _centroid(rollout, config if kept is None else kept.receipt.config)
        best = row["centroid"]
        lower = kept is None and centroid is not None and (best is None or centroid < best)
        if lower or (kept is not None and rollout.key.number == kept.receipt.winner):
            row |= {"winner": rollout.key.number, "centroid": centroid, "outcome": _outcome(rollout)}
    row["mean_outcome"] = sum(outcomes) / len(outcomes) if outcomes and kept is None else None
    return row


def _centroid(rollout: StoredRollout, config: HEPConfig) -> float | None:
    if rollout.error is not None or not rollout.trajectory.calls:
        return None
    score = CentroidEvaluator(config)(outputs=rollout.trajectory)["score"]
    return None if score is None else 1.0 - score


def _outcome(rollout: StoredRollout) -> float | None:
    return None if rollout.verdict != rollout.verdict else rollout.verdict


_HEADS = {
    "task": ("id", "name", "rollouts", "failed", "tokens", "winner", "centroid", "outcome", "mean_outcome"),
    "rollout": ("id", "of", "number", "calls", "tokens", "coverage", "centroid", "outcome"),
}
_SHORT = {"mean_outcome": "mean", "rollouts": "n", "number": "#"}
_WORDS = ("id", "name", "of")


def _print(rows: Iterator[Row], kind: str, file: Path | str) -> None:
    heads = _HEADS[kind]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        title = _SHORT.get(head, head)
        if head in _WORDS:
            table.add_column(title, overflow="fold")
        else:
            table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    for row in rows:
        table.add_row(*(safe(_cell(head, row)) for head in heads))
    if table.row_count == 0:
        print(f"{named(file)} holds no rollouts yet", file=sys.stderr)
        return
    plain_console().print(table)


def _cell(head: str, row: Row) -> str:
    value = row[head]
    if head == "outcome" and row.get("error") is not None:
        return "failed"
    if value is None or (head == "name" and value == row["id"]):
        return "" if head in _WORDS else "-"
    if head == "number" and row["kind"] == "greedy":
        return "greedy"
    if head == "coverage":
        return percent(value)
    form = {"centroid": ".3f", "outcome": ".3g", "mean_outcome": ".3g"}.get(head, "")
    return format(value, form)
