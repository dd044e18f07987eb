"""Reads our own OpenTelemetry spans, exported with ``instrument(entropies=True)``: each rollout's span has its calls.

Read are OTLP in JSON (of a collector's file exporter) and spans as OpenTelemetry's SDK writes them (``span.to_json()``,
one after the other). The rollouts of one choice have the question's span as their parent, and are one task. Spans may
come in any order, and spans of others are passed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ec_agent.capture.shapes import listed
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.source import Source, Trouble, first_keys, first_values, values
from ec_agent.logs.span_forms import HOLDING, Span, spans_of
from ec_agent.logs.sqlite_files import is_sqlite
from ec_agent.numbers.call_fields import PLAIN_FIELDS
from ec_agent.numbers.entropy import MOST
from ec_agent.numbers.signals import ENTROPY
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.support.checks import whole

_CALL, _FIELD = "ec_agent.call", "ec_agent.call."
_SIGNAL, _GAPS = "ec_agent.call.signal.", "ec_agent.call.gaps."
_ROLLOUT = "ec_agent.rollout."
_LOOKED_AT = 1000  # spans of other libraries may come first


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    for where, record, _ in values(source, trouble):
        for span in spans_of(record):
            if f"{_ROLLOUT}index" not in span.attributes:
                continue
            try:
                found = _rollout(span)
            except ODD as error:
                found = f"cannot be read ({type(error).__name__}: {error})"
            if isinstance(found, Found):
                yield found
            else:
                trouble(f"{where}, span {span.id}", found)


def _rollout(span: Span) -> Found | str:
    """Make the rollout of a span, or say why it is none to choose from."""
    own = {name.removeprefix(_ROLLOUT): value for name, value in span.attributes.items() if name.startswith(_ROLLOUT)}
    if own.get("end") == "failed":
        return "is of a rollout that failed, so it is no candidate"
    if "selected" not in own:
        return "is of an attempt that nothing was chosen from, so it is no candidate"
    calls = [_call(event) for event in span.events if event.get("name") == _CALL]
    if len(calls) < own["calls"]:
        what = f"has {len(calls)} of the rollout's {own['calls']} calls; "
        if not calls:
            return what + "export spans with instrument(entropies=True)"
        return what + "set OTEL_SPAN_EVENT_COUNT_LIMIT above their number where the spans are made"
    turn = f", round {own['round']}" if own.get("round") else ""
    task = f"trace {span.trace}, question {span.parent}{turn}"
    return Found(f"{task}, rollout {own['index']}", Trajectory(calls), task)


def _call(event: Mapping[str, Any]) -> Call:
    told = event["attributes"]
    signals = {
        name.removeprefix(_SIGNAL): _timeline(listed(values), listed(told[_GAPS + name.removeprefix(_SIGNAL)]))
        for name, values in told.items()
        if name.startswith(_SIGNAL)
    }
    plain = {each.name: told.get(_FIELD + each.name, each.default) for each in PLAIN_FIELDS}
    return Call(entropies=signals.pop(ENTROPY), signals=signals, **plain)


def _timeline(known: Sequence[Any], gaps: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Put a signal's numbers and gaps back into their places."""
    length = whole("tokens", len(known) + len(gaps), 0, MOST)
    places = [whole("gap", int(gap), 0, length - 1) for gap in gaps]
    timeline = np.full(length, np.nan)
    timeline[np.setdiff1d(np.arange(length), places)] = [float(value) for value in known]
    return timeline


def _knows(source: Source) -> bool:
    if is_sqlite(source) or not HOLDING & set(itertools.islice(first_keys(source), 100)):
        return False
    first = itertools.islice(first_values(source), _LOOKED_AT)
    return any(f"{_ROLLOUT}index" in span.attributes for record in first for span in spans_of(record))


READER = Reader(knows=_knows, read=_read)
