"""Make the ``openai`` client's objects of a streamed chat answer in a tenth of its time.

The client looks at every line of a stream, and checks and converts every value of every event. But the events of one
answer differ only in their text and their logprobs. So the first event of a kind is made into an object by the client,
and the bytes around its text and its logprobs are kept as a pattern (``StreamPattern``). Later events that fit it are
not decoded: their objects are copies of the first one with other texts. Their logprobs are made when somebody looks
(``openai_objects``). All that decides what happens, such as errors in the stream and its end, is still done by the
client, and so is an event that says more than text. If nobody sees the parts one by one, events of a kind that follow
one another are passed on as one.

This relies on ``openai.Stream``: it gets events of ``_decoder``, reads their ``data`` and ``json()``, and has
``_client._process_response_data`` make objects of them. ``tests/insides/test_openai_chunks.py`` guards it.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from openai.types.chat import ChatCompletionChunk
from pydantic_core import from_json

from ec_agent.insides.openai_objects import Later, dump_later, put_later
from ec_agent.support.stream_patterns import VARIES, FoundInEvent, StreamPattern, pattern_of

_END = b"\n\n"
_DATA = b"data: "
_MOST_PATTERNS = 64
_set = object.__setattr__


class Event:
    """An event with nothing but data, as the client's ``ServerSentEvent``.

    Args:
        line: its line of data.
    """

    __slots__ = ("_said", "data")
    event = id = retry = None

    def __init__(self, line: bytes) -> None:
        self.data = line.decode()[len(_DATA) :]
        self._said: Any = None

    def json(self) -> Any:
        """Return what the data say."""
        if self._said is None:
            try:
                self._said = from_json(self.data)
            except ValueError:
                self._said = json.loads(self.data)  # its error is the one that the client reports
        return self._said


class Fitting:
    """An event that fits the pattern of a kind, or several that follow one another.

    It stands for what the data say, too: the client does not look at that, and gives it to ``QuickChunks``.

    Args:
        kind: the kind.
        found: what differs from other events of the kind.
    """

    __slots__ = ("kind", "logprobs", "texts", "varies")
    event = id = retry = None
    data = "{"

    def __init__(self, kind: _Kind, found: FoundInEvent) -> None:
        self.kind = kind
        text, logprobs, self.varies = found
        self.texts = [text]
        self.logprobs = None if logprobs is None else [logprobs]

    @property
    def first(self) -> tuple[int, str, bytes | None]:
        """The number of the kind, and the text and the logprobs of the first event."""
        return self.kind.number, self.texts[0], None if self.logprobs is None else self.logprobs[0]

    def json(self) -> Any:
        """Return itself."""
        return self

    def add(self, other: Fitting) -> None:
        """Add a later event of the same kind."""
        self.texts += other.texts
        if self.logprobs is not None and other.logprobs is not None:
            self.logprobs += other.logprobs


class _Kind:
    """Events that differ in nothing but text and logprobs.

    Args:
        pattern: their bytes.
        chunk: the object of one of them, without logprobs.
        number: the caller's number for it.
        changeable: whether the object holds lists or dicts, which readers may change.
    """

    __slots__ = ("_changeable", "_chunk", "number", "pattern")

    def __init__(self, pattern: StreamPattern, chunk: ChatCompletionChunk, number: int, changeable: bool) -> None:
        self.pattern, self._chunk, self.number, self._changeable = pattern, chunk, number, changeable

    def made(self, fits: Fitting, later: Callable[[list[bytes]], Later]) -> Any:
        """Make the object of an event."""
        varying = fits.varies
        chunk = deepcopy(self._chunk) if self._changeable else self._chunk
        choice = _copy(chunk.choices[0], delta=_copy(chunk.choices[0].delta, content="".join(fits.texts)))
        if fits.logprobs is not None:
            put_later(choice, later(fits.logprobs))
        if varying is None:
            return _copy(chunk, choices=[choice])
        if VARIES in chunk.__dict__:
            return _copy(chunk, choices=[choice], **{VARIES: varying})
        made = _copy(chunk, choices=[choice])
        made.__pydantic_extra__[VARIES] = varying
        return made


class Heard:
    """Hears of the events of a stream, in their order. This class notes nothing, and takes no logprobs as usual."""

    def usual(self, logprobs: bytes) -> bool:
        """Tell whether logprobs, as JSON, are usual: the client would change no value of them."""
        return False

    def later(self, logprobs: list[bytes]) -> Later:
        """Make the source of a chunk's logprobs of the JSON of one or more events, all of them usual."""
        raise NotImplementedError

    def kind(self, event: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any]) -> int:
        """Return a number for a kind of events, given what they share: all but text and logprobs."""
        return 0

    def came(self, kind: int, text: str, logprobs: bytes | None) -> None:
        """Hear of an event that will be passed on together with others."""

    def made(self, kind: int = -1, text: str = "", logprobs: bytes | None = None) -> None:
        """Hear of an event of which a chunk is now made: its kind, text and logprobs; of others nothing."""

    def joined(self) -> None:
        """Hear that a chunk is now made of events that came before."""


class QuickChunks:
    """Makes the chunks of one stream.

    Args:
        stream: the client's ``Stream`` or ``AsyncStream`` of ``ChatCompletionChunk``, of which nothing was read yet.
        heard: hears of the events.
        to_langchain: whether a chat model of LangChain reads the stream.
        held_for: for how many seconds events may be held, to be passed on as one; ``None`` to pass on each when it
            comes.
    """

    def __init__(self, stream: Any, heard: Heard, *, to_langchain: bool, held_for: float | None = None) -> None:
        self._decoder, self._client, self._response = stream._decoder, stream._client, stream.response
        self._heard, self._to_langchain, self._held_for = heard, to_langchain, held_for
        self._kinds: list[_Kind] = []
        self._patterns_made = 0
        self._held: list[Fitting] = []
        self._held_since = 0.0
        stream._decoder = stream._client = self

    def __getattr__(self, name: str) -> Any:
        """Return anything else that the stream asks its client for."""
        return getattr(self._client, name)

    def iter_bytes(self, parts: Iterator[bytes]) -> Iterator[Any]:
        """Yield the events in these bytes."""
        blocks = _Blocks()
        for part in parts:
            yield from self._events_in(part, blocks)
            if blocks.odd is not None:
                yield from self._decoder.iter_bytes(chain([blocks.odd], parts))
                return
        yield from self._events_left(blocks)

    async def aiter_bytes(self, parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the events in the bytes of an asynchronous body."""
        blocks = _Blocks()
        async for part in parts:
            for event in self._events_in(part, blocks):
                yield event
            if blocks.odd is not None:
                async for event in self._decoder.aiter_bytes(_chained(blocks.odd, parts)):
                    yield event
                return
        for event in self._events_left(blocks):
            yield event

    def _events_in(self, part: bytes, blocks: _Blocks) -> Iterator[Event | Fitting]:
        """Yield the events to pass on after a part of the body, before the first that only the client can read."""
        for line in blocks.lines_in(part):
            yield from self._passed_on(self._event(line))
        if blocks.odd is not None:
            yield from self._released()

    def _events_left(self, blocks: _Blocks) -> Iterator[Any]:
        """Yield the events to pass on at the end of the body."""
        yield from self._released()
        yield from self._decoder.iter_bytes(iter([blocks.left()]))

    def _passed_on(self, event: Event | Fitting) -> Sequence[Event | Fitting]:
        """Return the events to pass on now, after another one came."""
        if self._held_for is None:
            return (event,)
        if not isinstance(event, Fitting):
            return (*self._released(), event)
        now = time.monotonic()
        self._heard.came(*event.first)
        if self._held and self._held[0].kind is event.kind and now - self._held_since < self._held_for:
            self._held[0].add(event)
            return ()
        before, self._held, self._held_since = self._held, [event], now
        return before

    def _released(self) -> Sequence[Fitting]:
        held, self._held = self._held, []
        return held

    def _event(self, line: bytes) -> Event | Fitting:
        data = line[len(_DATA) :]
        for place, kind in enumerate(self._kinds):
            found = kind.pattern.found_in(data)
            if found is not None:
                if place:  # the next event is likely to be of the same kind
                    self._kinds.insert(0, self._kinds.pop(place))
                return Fitting(kind, found) if self._usual(found) else Event(line)
        event = Event(line)
        return self._first_of_kind(data, event) or event

    def _usual(self, found: FoundInEvent) -> bool:
        return found.logprobs is None or self._heard.usual(found.logprobs)

    def _first_of_kind(self, sent: bytes, event: Event) -> Fitting | None:
        """Make a kind of an event that adds nothing to the answer but text and logprobs.

        A pattern takes longer to make than an object. So no more are made if so many were that events seem to differ in
        more, such as in counts, or to have unusual logprobs.
        """
        if self._patterns_made >= _MOST_PATTERNS:
            return None
        try:
            made = pattern_of(sent, event.json()) if _says_no_more(event.json()) else None
        except (ValueError, RecursionError):  # it is no JSON, as the client will find out
            return None
        if made is None:
            return None
        pattern, bare = made
        self._patterns_made += 1
        found = pattern.found_in(sent)
        if found is None or not self._usual(found):
            return None
        chunk = self._client._process_response_data(data=bare, cast_to=ChatCompletionChunk, response=self._response)
        if type(chunk) is not ChatCompletionChunk:
            return None
        (choice,) = bare["choices"]
        delta = _without(choice["delta"], "content")
        rest = _without(bare, "choices", VARIES), _without(choice, "delta", "logprobs"), delta
        changeable = any(isinstance(value, list | dict) for each in rest for value in each.values())
        kind = _Kind(pattern, chunk, self._heard.kind(*rest), changeable)
        self._kinds.insert(0, kind)
        return Fitting(kind, found)

    def _process_response_data(self, *, data: Any, cast_to: Any, response: Any) -> Any:
        """Make the object of an event."""
        if type(data) is not Fitting:
            self._heard.made()
            return self._client._process_response_data(data=data, cast_to=cast_to, response=response)
        if self._held_for is None:
            self._heard.made(*data.first)
        else:
            self._heard.joined()
        chunk = data.kind.made(data, self._heard.later)
        if self._to_langchain:
            dump_later(chunk)
        return chunk


class _Blocks:
    """Divides the bytes of a stream at empty lines.

    Attributes:
        odd: the bytes from the first block on that is more than one line of data or a comment; ``None`` before it.
    """

    def __init__(self) -> None:
        self.odd: bytes | None = None
        self._parts: list[bytes] = []

    def lines_in(self, part: bytes) -> Iterator[bytes]:
        """Yield the lines of data of the events that end in the next part of the stream."""
        if b"\r" in part:
            self.odd = self.left() + part
            return
        before = self._parts[-1][-1:] if self._parts else b""
        if _END not in before + part:
            self._parts += [part] if part else []
            return
        blocks = (self.left() + part).split(_END)
        last = blocks.pop()
        for place, block in enumerate(blocks):
            if block.startswith(_DATA) and b"\n" not in block:
                yield block
            elif not block.startswith(b":") or b"\n" in block:
                self.odd = _END.join([*blocks[place:], last])
                return
        self._parts += [last] if last else []

    def left(self) -> bytes:
        """Return the bytes that are in no event yet, and forget them."""
        left = b"".join(self._parts)
        self._parts.clear()
        return left


async def _chained(first: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in parts:
        yield part


def _says_no_more(event: Any) -> bool:
    """Tell whether an event adds nothing to the answer but text and logprobs.

    Readers add up what else there is: parts of tool calls, reasoning, counts of tokens. So two such events are more
    than one of them, even if they are the same, and each needs objects of its own.
    """
    try:
        (choice,) = event["choices"]
        more = [value for name, value in choice["delta"].items() if name not in ("role", "content")]
        return not any((event.get("error"), event.get("usage"), choice.get("finish_reason"), *more))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _without(thing: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in thing.items() if name not in names}


def _copy(model: Any, **changed: Any) -> Any:
    copied = object.__new__(type(model))
    _set(copied, "__dict__", {**model.__dict__, **changed})
    _set(copied, "__pydantic_fields_set__", model.__pydantic_fields_set__.copy())
    _set(copied, "__pydantic_extra__", model.__pydantic_extra__.copy())
    _set(copied, "__pydantic_private__", None)
    return copied
