"""Spans in the forms in which they are saved: of OTLP in JSON, of OpenTelemetry's SDK, and of MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ec_agent.capture.shapes import get, listed

HOLDING = frozenset({"attributes", "resourceSpans", "resource_spans"})
"""Keys of which the first object of a file of spans has at least one; MLflow's traces have ``info`` and ``data``."""


class Span(NamedTuple):
    """A span.

    Attributes:
        trace: id of its trace.
        id: its own id.
        parent: id of the span around it, if there is one.
        start: when it began, as text that sorts by time.
        end: when it ended, likewise.
        failure: with what it failed, if it did.
        attributes: its attributes, as plain values.
        events: its events, each with a ``name`` and ``attributes``.
    """

    trace: str
    id: str
    parent: str | None
    start: str
    end: str
    failure: str | None
    attributes: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = ()


def spans_of(record: Any) -> Iterator[Span]:
    """Yield the spans in a record: a span, a trace of MLflow, or a document of OTLP."""
    for resource in listed(_first(record, "resourceSpans", "resource_spans")):
        for scope in listed(_first(resource, "scopeSpans", "scope_spans")):
            yield from filter(None, map(_span, listed(get(scope, "spans"))))
    if spans := listed(get(record, "data", "spans")):
        trace = get(record, "info", "trace_id")
        named = {**_mapping(get(record, "info", "tags")), **_mapping(get(record, "info", "trace_metadata"))}
        for span in filter(None, map(_span, spans)):
            facts = named if span.parent is None else {}
            yield span._replace(trace=str(trace or span.trace), attributes={**facts, **span.attributes})
    elif (alone := _span(record)) is not None:
        yield alone


def _span(thing: Any) -> Span | None:
    context = get(thing, "context")
    trace = _first(context, "trace_id") or _first(thing, "traceId", "trace_id")
    name = _first(context, "span_id") or _first(thing, "spanId", "span_id")
    attributes = get(thing, "attributes")
    if attributes is None and get(thing, "name") is not None:
        attributes = {}  # OTLP leaves empty lists out
    attributes = _plain(attributes)
    if not trace or not name or not isinstance(attributes, Mapping):
        return None
    trace = decoded(attributes.get("mlflow.traceRequestId")) or trace
    parent = _first(thing, "parentSpanId", "parent_span_id", "parent_id")
    start = _moment(thing, "startTimeUnixNano", "start_time_unix_nano", "start_time")
    end = _moment(thing, "endTimeUnixNano", "end_time_unix_nano", "end_time")
    status = get(thing, "status")
    failed = "ERROR" in str(_first(status, "status_code", "code")) or get(status, "code") == 2
    failure = " ".join(str(_first(status, "description", "message") or "no message").split())[:80] if failed else None
    return Span(str(trace), str(name), str(parent) if parent else None, start, end, failure, attributes, _events(thing))


def _plain(attributes: Any) -> Any:
    """Return attributes as a mapping; OTLP has a list of them, each with the type of its value."""
    if not isinstance(attributes, list):
        return attributes
    return {get(each, "key"): _value(get(each, "value")) for each in attributes}


def _events(thing: Any) -> tuple[Mapping[str, Any], ...]:
    events = [event for event in listed(get(thing, "events")) if isinstance(event, Mapping)]
    return tuple({"name": event.get("name"), "attributes": _plain(event.get("attributes")) or {}} for event in events)


def _first(thing: Any, *names: str) -> Any:
    return next((value for name in names if (value := get(thing, name)) is not None), None)


def _moment(span: Any, *names: str) -> str:
    """Return a time of a span as text, so that earlier times sort first: nanoseconds, or ISO 8601."""
    return str(_first(span, *names) or "").zfill(20)


def _mapping(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, Mapping) else {}


def _value(value: Any) -> Any:
    """Return the value of an attribute in OTLP's JSON, which names its type."""
    if not isinstance(value, Mapping):
        return value
    if (number := value.get("intValue")) is not None:
        return int(number)  # text, because JSON's numbers are too short for it
    if "arrayValue" in value:
        return [_value(each) for each in listed(get(value["arrayValue"], "values"))]
    return next((each for name, each in value.items() if str(name).endswith("Value")), None)


def decoded(value: Any) -> Any:
    """Return a short attribute without the quotes of JSON that MLflow puts around each."""
    if isinstance(value, str) and value[:1] == '"':
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
