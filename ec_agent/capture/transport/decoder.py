"""Takes logprobs out of the JSON bytes of an answer, with a fast decoder. Needs msgspec (``ec-agent[fast]``).

Logprobs are taken only if the result is the same as through the client's objects. Anything unusual stays in the bytes:
NaN, a text in place of a number, an unknown key, a form that this module does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct
from pydantic import TypeAdapter, ValidationError

from ec_agent.capture.shapes.payload import READ
from ec_agent.capture.taken_logprobs import Event, Path, Taken
from ec_agent.capture.transport.cutting import cut_out

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

    # These identify candidates with the same text. They are decoded only when they are asked for.

    @property
    def bytes(self) -> Any:
        """The bytes of its text, as a list of numbers."""
        return _bytes(self.raw)

    @property
    def id(self) -> Any:
        """Its number, in llama.cpp's answers."""
        return _value(self.raw_id)

    @property
    def token_id(self) -> Any:
        """Its number, in other servers' answers."""
        return _value(self.raw_token_id)


class TokenEntry(Struct, gc=False):
    """One generated token."""

    token: str | None = None
    logprob: float | None = None
    top_logprobs: list[TopLogprob] | None = None
    raw: Raw = msgspec.field(name="bytes", default=Raw())

    @property
    def bytes(self) -> Any:
        """The bytes of its text. If ``token`` is a number, only they have the text."""
        return _bytes(self.raw)


class UsualTop(TopLogprob, gc=False, kw_only=True):
    """A candidate of which the client changes nothing."""

    token: str


class UsualEntry(TokenEntry, gc=False, kw_only=True):
    """A token of which the client changes nothing."""

    token: str
    logprob: float
    top_logprobs: list[UsualTop]  # type: ignore[assignment]  # a narrower type


class Content(Struct, gc=False, forbid_unknown_fields=True):
    """Logprobs in the form ``content`` alone."""

    content: list[UsualEntry]
    refusal: None = None


class Logprobs(Struct, gc=False, forbid_unknown_fields=True):
    """Logprobs in one of the forms ``content`` and ``parallel`` of the table in ``ec_agent.capture.shapes.entries``."""

    content: list[TokenEntry] | None = None
    refusal: list[TokenEntry] | None = None
    reasoning_content: list[TokenEntry] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int | None] | None = None
    token_ids: Raw = Raw()


class Function(Struct, gc=False):
    """The function of a tool call, with its arguments."""

    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class ToolCall(Struct, gc=False):
    """A tool call, or a part of one."""

    function: Function | None = None
    custom: Function | None = None


class Delta(Struct, gc=False):
    """The content of a part of a streamed answer."""

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
    """The counts that llama.cpp adds to a part."""

    predicted_n: int | None = None


class Chunk(Struct, gc=False):
    """A chunk without usage, with all that is needed. It is read in place of the client's chunk, which is slower."""

    choices: list[ChunkChoice]
    model: str | None = None
    timings: Timings | None = None
    usage: None = None
    type: None = None
    # Some servers write these here. If one of them is set, this type does not fit, and the client's chunk is read.
    x_groq: None = None
    finish_reason: None = None
    stop_reason: None = None


class TextDelta(Struct, gc=False):
    """An event with text of the Responses API, read in place of the client's event."""

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


# Further facts that chunks tell. Some chunk without logprobs has the answer's id, and is read as the client's object.
_FACTS = [(key, Any, None) for fact in READ if fact.name not in ("model", "response") for key in fact.keys]

_chunk = msgspec.json.Decoder(msgspec.defstruct("Chunk", _FACTS, bases=(Chunk,), gc=False))
_text_delta = msgspec.json.Decoder(TextDelta)
_object = msgspec.json.Decoder(dict[str, Raw])
_objects = msgspec.json.Decoder(list[dict[str, Raw]])
_logprobs = msgspec.json.Decoder(Logprobs | list[TokenEntry])
_numbers = TypeAdapter(list[int])
_content = msgspec.json.Decoder(Content)
_encode = msgspec.json.Encoder().encode


def of_whole(body: bytes) -> tuple[bytes, Taken] | None:
    """Take the logprobs out of a chat completion, completion or response.

    Args:
        body: the body of the answer, as JSON.

    Returns:
        The body without logprobs, and the logprobs. ``None`` if nothing was taken, for any reason.
    """
    return _guarded(_of_whole, body)


def of_event(data: bytes) -> tuple[bytes, Event] | None:
    """Take the logprobs out of one event of a streamed answer; as ``of_whole``."""
    return _guarded(_of_event, data)


def of_content(logprobs: bytes) -> list[Any] | None:
    """Return the entries of the logprobs of one event, if they have the form ``content`` and are usual.

    Args:
        logprobs: JSON, or something that may be none.
    """
    try:
        if not logprobs.isascii():
            logprobs.decode()
        return _content.decode(logprobs).content
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _guarded(take: Callable[[bytes], tuple[bytes, Event] | None], body: bytes) -> tuple[bytes, Event] | None:
    if b'"logprobs"' not in body:
        return None
    try:
        if not body.isascii():
            body.decode()  # must be UTF-8, as for the client: msgspec does not check the values that it skips
        return take(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None  # the client will meet the same error, and report it


def _of_whole(body: bytes) -> tuple[bytes, Event] | None:
    cut = cut_out(body)
    if cut is not None:
        emptied, logprobs = cut
        found = _cut(logprobs)
        if found is not None and _answers_once(emptied):
            return emptied, [(("choices", 0), found)]
    return _taken(_object.decode(body))


def _cut(logprobs: bytes) -> Any:
    """Return what was cut out; ``None`` if it has another type, or was cut out at the wrong place."""
    try:
        return _logprobs.decode(logprobs)
    except msgspec.MsgspecError:
        return None


def _answers_once(emptied: bytes) -> bool:
    """Tell whether this is a completion with one choice, from which the logprobs were cut out."""
    answer = _object.decode(emptied)
    choices = _read(_objects, answer.get("choices")) or ()
    return "type" not in answer and [_raw(choice, "logprobs") for choice in choices] == [b"null"]


def _taken(answer: dict[str, Raw]) -> tuple[bytes, Event] | None:
    emptied = _Emptied()
    emptied.answer(answer)
    return (_encode(answer), emptied.taken) if emptied.changed else None


def _of_event(data: bytes) -> tuple[bytes, Event] | None:
    event = _object.decode(data)
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
    return _taken(event)


def _without(chunk: Chunk, event: dict[str, Raw]) -> tuple[bytes, Event] | None:
    """Take the logprobs out of a chunk that was decoded as ``Chunk``."""
    if all(choice.logprobs is None for choice in chunk.choices):
        return None
    choices = _objects.decode(event["choices"])
    for choice in choices:
        choice["logprobs"] = _NULL
    event["choices"] = Raw(_encode(choices))
    return _encode(event), chunk


class _Emptied:
    """Takes the logprobs out of an answer.

    Attributes:
        taken: the logprobs that were taken and are needed, with their paths.
        changed: whether any logprobs were taken.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[Path, Any]] = []
        self.changed = False

    def answer(self, answer: dict[str, Raw]) -> None:
        """Take the logprobs out of a whole answer, a chunk or an event."""
        kind = _raw(answer, "type")
        if kind.startswith(_EVENT):
            self._event(answer, kind)
        elif "choices" in answer:
            self._each(answer, "choices", (), _NULL)
        else:
            self._output(answer, ())

    def _event(self, event: dict[str, Raw], kind: bytes) -> None:
        self._one(event, () if kind == _DELTA else None, _NONE)
        # Later events repeat the logprobs of the deltas. Only those of the final response are read.
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
        """Take what is under ``logprobs``. Without a path ``at``, nobody will read it.

        It is decoded even then, because logprobs that the client would refuse must stay in the answer.
        """
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
    """Return the value if it is there and has the decoder's type, else ``None``."""
    try:
        return None if raw is None else decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _bytes(raw: Raw) -> Any:
    found = _value(raw)
    if type(found) is not list or {int}.issuperset(map(type, found)):
        return found
    try:
        return _numbers.validate_python(found)  # the client makes numbers of texts and truth values
    except ValidationError:
        return found


def _value(raw: Raw) -> Any:
    return json.loads(memoryview(raw).tobytes() or b"null")


def _raw(holder: dict[str, Raw], name: str) -> bytes:
    return bytes(holder[name]) if name in holder else b""
