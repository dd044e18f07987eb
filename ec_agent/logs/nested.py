"""Finds answers of models anywhere in a record: under any key, in text that holds JSON, in LangChain's saved forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ec_agent.capture.known_answers import Answer
from ec_agent.capture.shapes import (
    HELD_UNDER,
    Payload,
    Streams,
    entries_of,
    get,
    is_ai,
    is_response,
    listed,
    payload_of_message,
    payload_of_response,
    payloads_of_response,
    plain_message,
)
from ec_agent.capture.shapes.saved_parts import key_of
from ec_agent.logs.bounds import Bounds

ASKED = frozenset({"messages", "request", "input", "inputs", "prompt", "prompts"})
"""Keys whose values are what a model was asked. They may hold earlier answers of the model."""

_OF_A_PART = frozenset({"choices", "content", "delta", "message", "object", "response", "stop", "text", "type"})
"""Keys that would mean something else in a part of a streamed answer."""

_MARKS = ('"chat.completion.chunk"', '"delta"', '"response.')
"""What the JSON of a part has in it."""

_USAGE = ("usage", "usage_metadata", "usageMetadata")
_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nested:
    """An answer in a record.

    Attributes:
        payloads: its alternatives, usually one.
        path: the keys that lead to it, with ``"*"`` for each step into a list.
        answer: what identifies the first alternative.
        thing: the value that it was read from. ``None`` for one that was streamed in parts.
    """

    payloads: Sequence[Payload]
    path: _Path
    answer: Answer
    thing: Any = None

    def repeats(self, other: Nested) -> bool:
        """Tell whether this is the same answer as the other one, found twice.

        Answers in one list may be equal by chance, so that these must also have the same id.
        """
        if self.path != other.path:
            return bool(self.answer.length) and self.answer.is_of(other.answer)
        own, its = self.answer, other.answer
        ids = ((own.response, its.response), (own.message, its.message), (own.run, its.run))
        return own.same(its) and any(a is not None and a == b for a, b in ids)


def answers_within(record: Any, bounds: Bounds) -> list[Nested]:
    """Return the answers in a record, each once, in the order of the record. Empty if no answer has logprobs.

    What a model was asked (``ASKED``) is searched only if there are no answers elsewhere.

    Args:
        record: any JSON value.
        bounds: limits for JSON inside of text.
    """
    for asked in (ASKED, frozenset[str]()):
        found: list[Nested] = []
        for nested in _Walk(bounds, asked).answers(record):
            if not any(nested.repeats(other) for other in found):
                found.append(nested)
        if any(payload.entries for nested in found for payload in nested.payloads):
            return found
    return []


@dataclass(frozen=True, slots=True)
class _Walk:
    bounds: Bounds
    asked: frozenset[str]

    def answers(self, record: Any) -> Iterator[Nested]:
        """Yield the answers in the order of the record. Not recursive, because a record may be deeply nested."""
        left: list[tuple[Any, _Path, Any]] = [(record, (), None)]
        while left:
            thing, path, usage = left.pop()
            if isinstance(thing, str):
                thing = self._inside(thing)
            thing = plain_message(thing)
            if isinstance(thing, Mapping):
                payloads, message = _answer(thing, usage)
                if payloads:
                    yield Nested(payloads, path, Answer.of(payloads[0], message), thing)
                if any(payload.entries for payload in payloads):
                    continue
                near = next((thing[name] for name in _USAGE if isinstance(thing.get(name), Mapping)), None)
                inner = [
                    (value, (*path, str(name)), near)
                    for name, value in thing.items()
                    if name not in self.asked and isinstance(value, Mapping | list | str)
                ]
            elif isinstance(thing, list):
                thing = [unwrapped(each, self.bounds) for each in thing]
                yield from _streamed(thing, path)
                inner = [(each, (*path, "*"), usage) for each in thing if not _is_part(each)]
            else:
                continue
            left += reversed(inner)

    def _inside(self, text: str) -> Any:
        """Return the value of text that is JSON and may have logprobs in it, and ``None`` for other text."""
        if text[:1] not in ("{", "[") or "logprob" not in text.lower():
            return None
        try:
            return self.bounds.parsed(text)
        except (ValueError, RecursionError):
            return None


def _answer(thing: Mapping[str, Any], usage: Any) -> tuple[Sequence[Payload], Any]:
    if is_ai(thing):
        return [payload_of_message(thing)], thing
    if is_response(thing):
        payloads = payloads_of_response(thing)
        whole = any(get(choice, "message") or get(choice, "text") for choice in listed(thing.get("choices")))
        return (payloads if whole or any(payload.entries for payload in payloads) else []), None
    for name in HELD_UNDER:
        entries = entries_of(thing.get(name))
        if any(get(entry, "top_logprobs") for entry in entries):
            own = {key: value for key, value in thing.items() if key not in HELD_UNDER}
            return [payload_of_response({"usage": usage, **own, "logprobs": thing[name]})], None
    return [], None


def _streamed(things: Sequence[Any], path: _Path) -> Iterator[Nested]:
    streams = Streams()
    placed = [streams.place(thing) for thing in things if _is_part(thing)]
    for stream in [each[0] for each in placed if each is not None and each[1]]:
        payloads = stream.payloads()
        yield Nested(payloads, (*path, "*"), Answer.of(payloads[0]))


def _is_part(thing: Any) -> bool:
    key = key_of(thing)
    return key is not None and key.kind in ("chat", "events")


def unwrapped(record: Any, bounds: Bounds) -> Any:
    """Return the part of a streamed answer that a record holds under one of its keys, or else the record.

    Such lines are logs of a stream, ``{"time": ..., "chunk": {...}}``, and what LlamaIndex yields. The part may be JSON
    in a text, as in ``{"event": ..., "data": "{...}"}``. Numbers and texts beside it are kept, because keys may be
    looked up there. A record with a whole answer or several parts is none of these.

    Args:
        record: any JSON value.
        bounds: limits for JSON inside of text.
    """
    if not isinstance(record, Mapping) or key_of(record) is not None or is_response(record) or is_ai(record):
        return record
    values = {name: _read_part(value, bounds) for name, value in record.items()}
    parts = [name for name, value in values.items() if isinstance(value, Mapping) and _is_part(value)]
    if len(parts) != 1:
        return record
    beside = {name: value for name, value in record.items() if isinstance(value, str | int | float)}
    return {**{name: value for name, value in beside.items() if name not in _OF_A_PART}, **values[parts[0]]}


def _read_part(value: Any, bounds: Bounds) -> Any:
    if not isinstance(value, str) or value[:1] != "{" or not any(mark in value for mark in _MARKS):
        return value
    try:
        return bounds.parsed(value)
    except (ValueError, RecursionError):
        return value
