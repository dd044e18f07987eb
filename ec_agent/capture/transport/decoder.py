"""Logprobs out of JSON bytes by a typed decoder, and the bytes without them. Needs msgspec (``ec-agent[fast]``).

Only what reads the same here and through the client's objects is taken. All else stays where it is, and is read there:
NaN, text where a number should be, an unknown key, a shape that this module does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from ec_agent.capture.taken import Event, Path, Taken

_DELTA = b'"response.output_text.delta"'
_EVENT = b'"response.'
_NOTHING = (b"", b"null", b"[]")
_NULL, _NONE = Raw(b"null"), Raw(b"[]")


class TopLogprob(Struct, gc=False):
    """One of the likeliest candidates of a token."""

    logprob: float
    token: str | None = None
    raw: Raw = msgspec.field(name="bytes", default=Raw())
    raw_id: Raw = msgspec.field(name="id", default=Raw())
    raw_token_id: Raw = msgspec.field(name="token_id", default=Raw())

    # What tells candidates of one text apart; read only where that is asked.

    @property
    def bytes(self) -> Any:
        """The bytes of its text."""
        return _value(self.raw)

    @property
    def id(self) -> Any:
        """Its number, as llama.cpp names it."""
        return _value(self.raw_id)

    @property
    def token_id(self) -> Any:
        """Its number, as others do."""
        return _value(self.raw_token_id)


class TokenEntry(Struct, gc=False):
    """One generated token."""

    token: str | None = None
    logprob: float | None = None
    top_logprobs: list[TopLogprob] | None = None
    raw: Raw = msgspec.field(name="bytes", default=Raw())

    @property
    def bytes(self) -> Any:
        """The bytes of its text: all that there is of it where it is named by a number."""
        return _value(self.raw)


class Logprobs(Struct, gc=False, forbid_unknown_fields=True):
    """The shapes ``content`` and ``parallel`` of the table in ``shapes``; ``list`` is a list of ``TokenEntry``."""

    content: list[TokenEntry] | None = None
    refusal: list[TokenEntry] | None = None
    reasoning_content: list[TokenEntry] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int | None] | None = None
    token_ids: Raw = Raw()


class Function(Struct, gc=False):
    """What a tool call says."""

    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class ToolCall(Struct, gc=False):
    """A tool call, or a part of one."""

    function: Function | None = None
    custom: Function | None = None


class Delta(Struct, gc=False):
    """What a part of a streamed answer says."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    finish_reason: None = None
    stop_reason: None = None


class ChunkChoice(Struct, gc=False):
    """One choice of a chunk."""

    index: int | None = None
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    usage: None = None
    logprobs: Logprobs | list[TokenEntry] | None = None


class Timings(Struct, gc=False):
    """What llama.cpp says beside a part."""

    predicted_n: int | None = None


class Chunk(Struct, gc=False):
    """All that counts of a chunk that is a chunk and reports no usage; read in its place, for it is read sooner."""

    choices: list[ChunkChoice]
    model: str | None = None
    timings: Timings | None = None
    usage: None = None
    type: None = None
    # Where some say what others say in a choice; with any of these, the chunk itself is read.
    x_groq: None = None
    finish_reason: None = None
    stop_reason: None = None


class TextDelta(Struct, gc=False):
    """The same of a response's event with text."""

    type: Literal["response.output_text.delta"]
    logprobs: list[TokenEntry]
    output_index: int | None = None
    sequence_number: int | None = None
    delta: str | None = None
    choices: None = None
    model: None = None
    usage: None = None
    part: None = None
    item: None = None
    response: None = None


_chunk = msgspec.json.Decoder(Chunk)
_text_delta = msgspec.json.Decoder(TextDelta)
_object = msgspec.json.Decoder(dict[str, Raw])
_objects = msgspec.json.Decoder(list[dict[str, Raw]])
_logprobs = msgspec.json.Decoder(Logprobs | list[TokenEntry])
_encode = msgspec.json.Encoder().encode


def of_whole(body: bytes) -> tuple[bytes, Taken] | None:
    """Take the logprobs out of a chat completion, completion or response.

    Args:
        body: JSON.

    Returns:
        The body without them, and what they were; ``None`` where nothing was taken, for whatever reason.
    """
    return _guarded(_taken, body)


def of_event(data: bytes) -> tuple[bytes, Event] | None:
    """The same of one event of a streamed answer."""
    return _guarded(_of_event, data)


def _guarded(
    take: Callable[[bytes, dict[str, Raw]], tuple[bytes, Event] | None], body: bytes
) -> tuple[bytes, Event] | None:
    if b'"logprobs"' not in body:
        return None
    try:
        if not body.isascii():
            body.decode()  # what is skipped is not looked into, and the client refuses what is not UTF-8
        return take(body, _object.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None  # the client will meet it too, and say so


def _taken(body: bytes, answer: dict[str, Raw]) -> tuple[bytes, Event] | None:
    emptied = _Emptied()
    emptied.answer(answer)
    return (_encode(answer), emptied.taken) if emptied.changed else None


def _of_event(data: bytes, event: dict[str, Raw]) -> tuple[bytes, Event] | None:
    kind = _raw(event, "type")
    if kind in _NOTHING:
        chunk: Chunk | None = _read(_chunk, data)
        if chunk is not None:
            return _without(chunk, event)
    elif kind == _DELTA:
        delta = _read(_text_delta, data)
        if delta is not None and delta.logprobs:
            event["logprobs"] = _NONE
            return _encode(event), delta
    return _taken(data, event)


def _without(chunk: Chunk, event: dict[str, Raw]) -> tuple[bytes, Event] | None:
    """A chunk that has been read, emptied."""
    if all(choice.logprobs is None for choice in chunk.choices):
        return None
    choices = _objects.decode(event["choices"])
    for choice in choices:
        choice["logprobs"] = _NULL
    event["choices"] = Raw(_encode(choices))
    return _encode(event), chunk


class _Emptied:
    """An answer being emptied of its logprobs.

    Attributes:
        taken: what was taken that is needed.
        changed: whether anything was.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[Path, Any]] = []
        self.changed = False

    def answer(self, answer: dict[str, Raw]) -> None:
        """Empty a whole answer, a chunk or an event."""
        kind = _raw(answer, "type")
        if kind.startswith(_EVENT):
            self._event(answer, kind)
        elif "choices" in answer:
            self._each(answer, "choices", (), _NULL)
        else:
            self._output(answer, ())

    def _event(self, event: dict[str, Raw], kind: bytes) -> None:
        self._one(event, () if kind == _DELTA else None, _NONE)
        # What comes after the deltas repeats them; of that, only the last response is read.
        for name in ("part", "item", "response"):
            thing = _read(_object, event.get(name))
            if thing is None:
                continue
            if name == "response":
                self._output(thing, (name,))
            elif name == "item":
                self._each(thing, "content", None, _NONE)
            else:
                self._one(thing, None, _NONE)
            event[name] = Raw(_encode(thing))

    def _output(self, response: dict[str, Raw], at: Path) -> None:
        items = _read(_objects, response.get("output"))
        for place, item in enumerate(items or ()):
            self._each(item, "content", (*at, "output", place), _NONE)
        if items:
            response["output"] = Raw(_encode(items))

    def _each(self, holder: dict[str, Raw], name: str, at: Path | None, empty: Raw) -> None:
        things = _read(_objects, holder.get(name))
        for place, thing in enumerate(things or ()):
            self._one(thing, None if at is None else (*at, name, place), empty)
        if things:
            holder[name] = Raw(_encode(things))

    def _one(self, holder: dict[str, Raw], at: Path | None, empty: Raw) -> None:
        """Take what is under ``logprobs``; without ``at`` nobody needs it, but the client might refuse it."""
        if _raw(holder, "logprobs") in _NOTHING:
            return
        found = _read(_logprobs, holder["logprobs"])
        if found is None:
            return
        if at is not None:
            self.taken.append((at, found))
        holder["logprobs"] = empty
        self.changed = True


def _read(decoder: Any, raw: Raw | bytes | None) -> Any:
    """The value, if it is there and of the decoder's type."""
    try:
        return None if raw is None else decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _value(raw: Raw) -> Any:
    return json.loads(memoryview(raw).tobytes() or b"null")


def _raw(holder: dict[str, Raw], name: str) -> bytes:
    return bytes(holder[name]) if name in holder else b""
