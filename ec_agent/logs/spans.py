"""Reads spans of OpenInference, MLflow, langfuse and Traceloop. A trace is a rollout, and its LLM spans are the calls.

They keep what a model answered as JSON text in an attribute, such as ``output.value``. Read are spans as
OpenTelemetry's SDK writes them (``span.to_json()``, one after the other), OTLP in JSON (of a collector's file
exporter), traces of MLflow (``trace.to_json()``), and MLflow's database in SQLite. If an LLM span lacks logprobs, they
are looked for in the spans around it (``span_answers``).

Spans may come in any order, so calls are kept on disk until the file has been read. If two libraries are traced, one
call has two spans (of LangChain's model and of OpenAI's client): one inside the other, or each in a trace of its own.
It counts once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ec_agent.capture.known_answers import Answer
from ec_agent.capture.shapes import Payload, call_of, count, get
from ec_agent.logs.asked import asked_of
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.dropping import why_none
from ec_agent.logs.nested import answers_within
from ec_agent.logs.outputs import payload_of_outputs
from ec_agent.logs.source import JsonValue, Source, Trouble, first_keys, first_values, values
from ec_agent.logs.span_answers import give_answers, keep_answers, note_bare
from ec_agent.logs.span_forms import HOLDING, Span, decoded, spans_of
from ec_agent.logs.spool import Spool
from ec_agent.logs.sqlite_files import database, is_sqlite, tables_of
from ec_agent.numbers.signals import ENTROPY, SURPRISAL

_OUTPUTS = (
    "output.value",
    "mlflow.spanOutputs",
    "langfuse.observation.output",
    "traceloop.entity.output",
    "gen_ai.output.messages",
)
_INPUTS = (
    "input.value",
    "mlflow.spanInputs",
    "langfuse.observation.input",
    "traceloop.entity.input",
    "gen_ai.input.messages",
)
_KINDS = ("openinference.span.kind", "mlflow.spanType", "langfuse.observation.type", "gen_ai.operation.name")
_LLM = frozenset({"LLM", "CHAT_MODEL", "generation", "chat", "text_completion", "generate_content"})
_COUNTS = ("llm.token_count.completion", "gen_ai.usage.output_tokens")
_USAGES = ("mlflow.chat.tokenUsage", "langfuse.observation.usage_details")
_COUNTED = ("output_tokens", "completion_tokens", "output")
# Notes. Those of an answer say which spans have it.
_ENDED, _LACKING, _ASKED = "ended", "lacking", "asked"
_PARENT, _CALL, _ANSWER, _FACT = "parent ", "call ", "answer ", "fact "
_LONGEST_FACT = 2000


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    with Spool() as spool:
        for where, record, _ in _records(source, trouble):
            spans = list(spans_of(record))
            if not spans:
                trouble(where, "has no spans; give spans or traces as OpenTelemetry or MLflow write them")
            for span in spans:
                try:
                    _keep(span, spool, source)
                except ODD as error:
                    trouble(f"{where}, span {span.id}", f"cannot be read ({type(error).__name__}: {error})")
        _once(spool)
        give_answers(spool)
        for trace, _, trajectory in spool.rollouts():
            if (said := spool.noted(trace, _ENDED)) is not None:
                trouble(f"{source.label}, trace {trace}", f"ended in an error ({said}), so it is no candidate")
                continue
            facts = {kind.removeprefix(_FACT): note for kind, note in spool.notes(trace, _FACT)}
            yield Found(
                trace,
                trajectory,
                lacking=None if trajectory.scored_tokens else spool.noted(trace, _LACKING),
                asked=next((note for _, note in spool.notes(trace, _ASKED)), None),
                record={**facts, "trace_id": trace},
            )


def _records(source: Source, trouble: Trouble) -> Iterator[JsonValue]:
    if not is_sqlite(source):
        yield from values(source, trouble)
        return
    with database(source) as file:
        for number, (content,) in enumerate(file.rows("SELECT content FROM spans")):
            where = f"{source.label}, span {number}"
            try:
                yield JsonValue(where, source.bounds.parsed(content), len(content))
            except ODD as error:
                trouble(where, f"cannot be read ({error})")


def _keep(span: Span, spool: Spool, source: Source) -> None:
    attributes = {name: decoded(value) if name in _KINDS else value for name, value in span.attributes.items()}
    if span.parent is None:
        if span.failure is not None:
            spool.note(span.trace, _ENDED, span.failure)
        for name, value in attributes.items():
            if name not in (*_INPUTS, *_OUTPUTS) and len(str(value)) <= _LONGEST_FACT:
                spool.note(span.trace, f"{_FACT}{name}", str(decoded(value)))
    else:
        spool.note(span.trace, f"{_PARENT}{span.id}", span.parent)
    if (session := attributes.get("session.id")) is not None:
        spool.note(span.trace, f"{_FACT}session.id", str(session))
    text = next((attributes[name] for name in _OUTPUTS if name in attributes), None)
    if not any(attributes.get(name) in _LLM for name in _KINDS):
        if not isinstance(text, str) or "logprob" in text:
            keep_answers(span, _parsed(text, source), spool, source.bounds)
        return
    output = _parsed(text, source)
    payload = _payload(span, attributes, output, source)
    if payload is None:
        return
    call = call_of(payload, (ENTROPY, SURPRISAL))
    place = f"{span.start} {span.id}"
    spool.add(span.trace, place, call)
    spool.note(span.trace, f"{_CALL}{span.id}", "bare" if call.capability == "none" else "scored")
    if not payload.entries:
        note_bare(span, place, output, spool)
    else:  # not known by its id: of streamed answers, none is saved
        answer = str(Answer.of(payload).digest)
        spool.note(f"{_ANSWER}{answer}", f"{span.trace} {span.id}", f"{span.start} {span.end}")
        spool.note(span.trace, f"{_ANSWER}{span.id}", answer)
    if call.capability == "none" and (lacking := why_none(dict(span.attributes))) is not None:
        spool.note(span.trace, _LACKING, lacking)
    asked = asked_of(next((_parsed(attributes[name], source) for name in _INPUTS if name in attributes), None))
    if asked is not None:
        spool.note(span.trace, f"{_ASKED} {place}", asked)


def _payload(span: Span, attributes: Mapping[str, Any], output: Any, source: Source) -> Payload | None:
    """Return the answer in an LLM span. ``None`` if the call failed before any token came."""
    payload = payload_of_outputs(output)
    if not payload.entries and (within := answers_within(output, source.bounds)):
        payload = within[0].payloads[0]
    if span.failure is not None:
        if not payload.entries and not payload.tokens:
            return None
        payload = replace(payload, partial=True)
    if payload.tokens is None:  # OpenInference joins a streamed answer's parts without their usage
        usages = [_parsed(attributes.get(name), source) for name in _USAGES]
        counts = [attributes.get(name) for name in _COUNTS] + [get(each, key) for each in usages for key in _COUNTED]
        payload = replace(payload, tokens=next((each for each in map(count, counts) if each), None))
    return payload


def _once(spool: Spool) -> None:
    """Leave out the second span of a call: of two, one inside the other, that without logprobs, or the inner one."""
    places = {(trace, place.rpartition(" ")[2]): place for trace, place in spool.places()}
    for (trace, span), place in places.items():
        if (outer := _outer(spool, trace, span)) is not None:
            bare = spool.noted(trace, f"{_CALL}{outer}") == "bare" and spool.noted(trace, f"{_CALL}{span}") == "scored"
            spool.drop(trace, places[trace, outer] if bare else place)
        elif spool.noted(trace, f"{_PARENT}{span}") is None and _is_in_another_trace(spool, trace, span):
            spool.drop(trace, place)


def _outer(spool: Spool, trace: str, span: str) -> str | None:
    """Return the nearest span of a call around a span, or ``None``."""
    seen: set[str] = set()
    outer = spool.noted(trace, f"{_PARENT}{span}")
    while outer is not None and outer not in seen:
        if spool.noted(trace, f"{_CALL}{outer}") is not None:
            return outer
        seen.add(outer)
        outer = spool.noted(trace, f"{_PARENT}{outer}")
    return None


def _is_in_another_trace(spool: Spool, trace: str, span: str) -> bool:
    """Tell whether another trace has the answer of this span, in a span open as long as this one, and longer."""
    answer = spool.noted(trace, f"{_ANSWER}{span}")
    if answer is None:
        return False
    known = dict(spool.notes(f"{_ANSWER}{answer}", ""))
    begun, ended = known.pop(f"{trace} {span}").split(" ")
    for times in known.values():
        other_begun, other_ended = times.split(" ")
        if other_begun <= begun and ended <= other_ended and (other_begun, other_ended) != (begun, ended):
            return True
    return False


def _parsed(text: Any, source: Source) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return source.bounds.parsed(text)
    except ValueError:
        return text  # what was asked or said, as plain text


def _knows(source: Source) -> bool:
    if is_sqlite(source):
        return tables_of(source).get("spans", set()) >= {"trace_id", "content"}
    keys = set(itertools.islice(first_keys(source), 100))
    if not (keys & HOLDING or {"info", "data"} <= keys):
        return False
    first = itertools.islice(first_values(source), _LOOKED_AT)
    return any(_MARKS & span.attributes.keys() for record in first for span in spans_of(record))


_MARKS = frozenset({*_OUTPUTS, *_INPUTS, *_KINDS, "mlflow.traceRequestId"})
_LOOKED_AT = 50  # spans of other libraries may come first

READER = Reader(
    knows=_knows,
    read=_read,
)
