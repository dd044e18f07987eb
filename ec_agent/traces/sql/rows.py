"""Turns rollouts into rows of a trace store, and rows into rollouts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from ec_agent.numbers.call_fields import PLAIN_FIELDS
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import ENTROPY
from ec_agent.numbers.trajectory import Call, Likeliest, Trajectory, likeliest
from ec_agent.support.from_plain import PlainError, PlainField, made, of_type, parsed, typed
from ec_agent.traces.actions import action_from_json, action_to_json
from ec_agent.traces.fitting import settings_of, whole_of
from ec_agent.traces.sql.database import Database
from ec_agent.traces.stored import USAGE, Key, StoredRollout

_SURE = 1.001  # what a probability is below, rounding errors included
_TRUTHS = tuple(each.name for each in PLAIN_FIELDS if each.kind is bool)
_AS_THEY_ARE = ("seed", "error", "started", "seconds", "selection", "tool_calls", "unsampled_calls")
_COLUMNS = ("task", "kind", "number", "sampling", "verdict", "final_action", *_AS_THEY_ARE, *USAGE)
_FLOAT32 = np.dtype("<f4")


def key_of(task: Any, kind: Any, number: Any) -> Key:
    """Make the key of a rollout from the columns ``task``, ``kind`` and ``number``.

    Raises:
        PlainError: a column has another type than it should.
    """
    return made(Key, {"task": task, "kind": kind, "number": number}, "rollouts")


def add_rollout(database: Database, rollout: StoredRollout) -> bool:
    """Write a rollout with its calls and timelines. Call it inside ``write``.

    Returns:
        ``False`` if the store has a rollout with this key already; nothing is written then.
    """
    number = database.insert("rollouts", _row(rollout, database.text_of))
    if number is None:
        return False
    calls = [_call_row(call, database.text_of) for call in rollout.trajectory.calls]
    if calls:
        names, marks = ", ".join(calls[0]), ", ".join("?" * len(calls[0]))
        rows = [(number, place, *call.values()) for place, call in enumerate(calls)]
        database.change_many(f"INSERT INTO calls (rollout, place, {names}) VALUES (?, ?, {marks})", rows)
    timelines = [
        (number, place, name, values.astype(_FLOAT32).tobytes())
        for place, call in enumerate(rollout.trajectory.calls)
        for name, values in {ENTROPY: call.entropies, **call.signals}.items()
    ]
    database.change_many("INSERT INTO timelines (rollout, place, signal, data) VALUES (?, ?, ?, ?)", timelines)
    return True


def read_rollout(database: Database, number: int) -> StoredRollout | None:
    """Read the rollout with this id, with its calls and timelines. ``None`` if there is none."""
    columns = ", ".join(f"rollouts.{name}" for name in _COLUMNS)
    query = f"SELECT {columns}, name FROM rollouts LEFT JOIN selections ON selections.id = selection"
    found = database.rows(f"{query} WHERE rollouts.id = ?", (number,))
    if not found:
        return None
    *values, name = found[0]
    row = dict(zip(_COLUMNS, values, strict=True))
    task = row["task"] if row["task"] is not None else name or f"selection {row['selection']}"
    sampling = parsed(row["sampling"], "sampling")
    verdict = float("nan") if row["verdict"] is None else row["verdict"]
    usage = {name: row[name] for name in USAGE if row[name] or name != "cached_answer_tokens"}
    plain = {"sampling": sampling, "verdict": verdict, "usage": usage, **{name: row[name] for name in _AS_THEY_ARE}}
    return StoredRollout(
        key=key_of(task, row["kind"], row["number"]),
        trajectory=Trajectory(list(_calls(database, number))),
        final_action=action_from_json(row["final_action"]),
        id=number,
        **typed(StoredRollout, plain, "rollout"),
    )


def _fitting(field: PlainField, value: Any, text_of: Callable[[Any], str | None]) -> Any:
    """Make a value fit its column. Optional fields come from a provider, so that their values may be anything."""
    if not field.optional or field.kind not in (str, int):
        return value
    return text_of(value) if field.kind is str else whole_of(value)


def _row(rollout: StoredRollout, text_of: Callable[[Any], str | None]) -> dict[str, Any]:
    verdict = float(rollout.verdict)
    return {
        "task": rollout.key.task if rollout.selection is None else None,
        "selection": rollout.selection,
        "kind": rollout.key.kind,
        "number": rollout.key.number,
        "seed": whole_of(rollout.seed),
        "sampling": settings_of(rollout.sampling),
        "unsampled_calls": rollout.unsampled_calls,
        "started": rollout.started,
        "seconds": rollout.seconds,
        "error": text_of(rollout.error),
        "verdict": None if verdict != verdict else verdict,  # NaN means "not judged"
        "final_action": action_to_json(rollout.final_action),
        "model_calls": len(rollout.trajectory.calls),
        "tool_calls": rollout.tool_calls,
        **{name: rollout.usage.get(name, 0) for name in USAGE},
    }


def _call_row(call: Call, text_of: Callable[[Any], str | None]) -> dict[str, Any]:
    return {
        **{each.name: _fitting(each, getattr(call, each.name), text_of) for each in PLAIN_FIELDS},
        "texts": None if call.texts is None else json.dumps(list(call.texts)),
        "tools": json.dumps([asdict(use) for use in call.tools]) if call.tools else None,
        "candidates": None if call.candidates is None else json.dumps(call.candidates),
    }


def _calls(database: Database, rollout: int) -> Iterator[Call]:
    """Read the calls of a rollout in order, and check their values: another program may have changed the rows."""
    signals: dict[Any, dict[str, FloatArray]] = {}
    stored = "SELECT place, signal, data FROM timelines WHERE rollout = ? ORDER BY place, signal"
    for place, signal, data in database.rows(stored, (rollout,)):
        named = of_type(signal, str, "timelines.signal")
        signals.setdefault(place, {})[named] = np.frombuffer(data, _FLOAT32).astype(np.float64)
    names = [each.name for each in PLAIN_FIELDS]
    query = f"SELECT place, texts, tools, candidates, {', '.join(names)} FROM calls WHERE rollout = ? ORDER BY place"
    for place, texts, tools, candidates, *values in database.rows(query, (rollout,)):
        plain = dict(zip(names, values, strict=True))
        plain |= {name: {0: False, 1: True}.get(plain[name], plain[name]) for name in _TRUTHS}
        plain |= {"texts": parsed(texts or "null", "calls.texts"), "tools": parsed(tools or "[]", "calls.tools")}
        kept = signals.get(place, {})
        entropies = kept.pop(ENTROPY, None)
        if entropies is None or len(entropies) != (plain["tokens"] or 0):
            raise PlainError(f"call {place} does not have one entropy, or NaN, for each token")
        yield Call(
            entropies=entropies,
            signals=kept,
            candidates=None if candidates is None else _candidates(candidates, len(entropies)),
            **typed(Call, plain, f"call {place}"),
        )


def _candidates(text: Any, tokens: int) -> tuple[Likeliest, ...]:
    rows = parsed(text, "calls.candidates")
    try:
        pairs = [pair for row in rows for pair in row]
        right = len(rows) <= tokens and all(type(text) is str and 0.0 <= share < _SURE for text, share in pairs)
    except (TypeError, ValueError):
        right = False
    if not right:
        raise PlainError("calls.candidates are not texts with probabilities, for a token each")
    return likeliest(rows)
