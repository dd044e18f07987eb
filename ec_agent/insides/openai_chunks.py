"""Make the ``openai`` client's objects of a streamed chat answer in a tenth of its time.

The client looks at every line of a stream, and checks and converts every value of every event. But the events of one
answer differ only in their text and their logprobs. So the first event of a kind is made into an object by the client,
and the bytes around its text and its logprobs are kept as a pattern (``StreamPattern``). Later events that fit it are
not decoded: their objects are copies of the first one with other texts. Their logprobs are made when somebody looks
(``openai_objects``). All that decides what happens, such as errors in the stream and its end, is still done by the
client.

This relies on ``openai.Stream``: it gets events of ``_decoder``, reads their ``data`` and ``json()``, and has
``_client._process_response_data`` make objects of them. ``tests/insides/test_openai_chunks.py`` guards it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from typing import Any

from openai.types.chat import ChatCompletionChunk
from pydantic_core import from_json

from ec_agent.insides.openai_objects import Later, dump_later, put_later
from ec_agent.support.stream_patterns import VARIES, Found, StreamPattern, pattern_of

_END = b"\n\n"
_DATA = b"data: "
_MOST_KINDS = 64
_set = object.__setattr__


class Event:
    """An event with nothing but data, as the client's ``ServerSentEvent``.

    Args:
        line: its line of data.
    """

    __slots__ = ("data",)
    event = id = retry = None

    def __init__(self, line: bytes) -> None:
        self.data = line.decode()[len(_DATA) :]

    def json(self) -> Any:
        """Return what the data say."""
        try:
            return from_json(self.data)
        except ValueError:
            return json.loads(self.data)  # its error is the one that the client reports


class Fitting:
    """An event that fits the pattern of a kind. It stands for what its data say, too: the client need not know that.

    Args:
        kind: the kind.
        found: what differs from other events of the kind.
    """

    __slots__ = ("found", "kind")
    event = id = retry = None
    data = "{"

    def __init__(self, kind: _Kind, found: Found) -> None:
        self.kind, self.found = kind, found

    def json(self) -> Any:
        """Return itself, for ``QuickChunks``, which makes the chunk."""
        return self


class _Kind:
    """Events that differ in nothing but text and logprobs.

    Args:
        pattern: their bytes.
        chunk: the object of one of them, without logprobs.
        shared: what the caller made of what they share.
    """

    __slots__ = ("_choice", "_chunk", "_delta", "pattern", "shared")

    def __init__(self, pattern: StreamPattern, chunk: ChatCompletionChunk, shared: Any) -> None:
        self.pattern, self._chunk, self.shared = pattern, chunk, shared
        (self._choice,) = chunk.choices
        self._delta = self._choice.delta

    def made(self, found: Found, later: Callable[[bytes], Later]) -> Any:
        """Make the object of an event."""
        text, logprobs, varying = found
        choice = _copy(self._choice, delta=_copy(self._delta, content=text))
        if logprobs is not None:
            put_later(choice, later(logprobs))
        if varying is None:
            return _copy(self._chunk, choices=[choice])
        if VARIES in self._chunk.__dict__:
            return _copy(self._chunk, choices=[choice], **{VARIES: varying})
        made = _copy(self._chunk, choices=[choice])
        made.__pydantic_extra__[VARIES] = varying
        return made


class QuickChunks:
    """Makes the chunks of one stream.

    Args:
        stream: the client's ``Stream`` or ``AsyncStream`` of ``ChatCompletionChunk``, of which nothing was read yet.
        usual: tells whether logprobs, as JSON, are usual: the client would change no value of them.
        later: makes the source of a chunk's logprobs of their JSON.
        shared: makes something of what events of one kind share: the values of the event, of its choice, and of the
            delta of that, without text and logprobs.
        made: is called for each event of which a chunk was made quickly, with that, its text and the JSON of its
            logprobs; and without arguments for other events.
        to_langchain: whether a chat model of LangChain reads the stream.
    """

    def __init__(
        self,
        stream: Any,
        usual: Callable[[bytes], bool],
        later: Callable[[bytes], Later],
        shared: Callable[..., Any],
        made: Callable[..., None],
        *,
        to_langchain: bool,
    ) -> None:
        self._decoder, self._client = stream._decoder, stream._client
        self._usual, self._later, self._shared, self._made = usual, later, shared, made
        self._to_langchain = to_langchain
        self._kinds: list[_Kind] = []
        self._kinds_made = 0
        self._unknown: bytes | None = None
        stream._decoder = stream._client = self

    def __getattr__(self, name: str) -> Any:
        """Return anything else that the stream asks its client for."""
        return getattr(self._client, name)

    def iter_bytes(self, parts: Iterator[bytes]) -> Iterator[Any]:
        """Yield the events in these bytes."""
        blocks = _Blocks()
        for part in parts:
            for line in blocks.lines_in(part):
                yield self._event(line)
            if blocks.odd is not None:
                yield from self._decoder.iter_bytes(chain([blocks.odd], parts))
                return
        yield from self._decoder.iter_bytes(iter([blocks.left()]))

    async def aiter_bytes(self, parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the events in the bytes of an asynchronous body."""
        blocks = _Blocks()
        async for part in parts:
            for line in blocks.lines_in(part):
                yield self._event(line)
            if blocks.odd is not None:
                async for event in self._decoder.aiter_bytes(_chained(blocks.odd, parts)):
                    yield event
                return
        for event in self._decoder.iter_bytes(iter([blocks.left()])):
            yield event

    def _event(self, line: bytes) -> Event | Fitting:
        data = line[len(_DATA) :]
        for place, kind in enumerate(self._kinds):
            found = kind.pattern.found_in(data)
            if found is not None:
                if place:  # the next event is likely to be of the same kind
                    self._kinds.insert(0, self._kinds.pop(place))
                return Fitting(kind, found) if found[1] is None or self._usual(found[1]) else Event(line)
        event = Event(line)
        self._unknown = data
        return event

    def _process_response_data(self, *, data: Any, cast_to: Any, response: Any) -> Any:
        """Make the object of an event."""
        unknown, self._unknown = self._unknown, None
        if type(data) is Fitting:
            fits: Fitting | None = data
        else:
            fits = self._fitting(unknown, data, response) if cast_to is ChatCompletionChunk else None
        if fits is None:
            self._made()
            return self._client._process_response_data(data=data, cast_to=cast_to, response=response)
        kind, found = fits.kind, fits.found
        self._made(kind.shared, found[0], found[1])
        chunk = kind.made(found, self._later)
        if self._to_langchain:
            dump_later(chunk)
        return chunk

    def _fitting(self, sent: bytes | None, data: Any, response: Any) -> Fitting | None:
        """Make a kind of an event, unless so many were made that events seem to differ in more, such as in counts."""
        if sent is None or self._kinds_made >= _MOST_KINDS:
            return None
        made = pattern_of(sent, data)
        if made is None:
            return None
        pattern, bare = made
        found = pattern.found_in(sent)
        if found is None or not (found[1] is None or self._usual(found[1])):
            return None
        self._kinds_made += 1
        chunk = self._client._process_response_data(data=bare, cast_to=ChatCompletionChunk, response=response)
        if type(chunk) is not ChatCompletionChunk:
            return None
        (choice,) = bare["choices"]
        rest = _without(bare, "choices", VARIES), _without(choice, "delta", "logprobs")
        kind = _Kind(pattern, chunk, self._shared(*rest, _without(choice["delta"], "content")))
        self._kinds.insert(0, kind)
        return Fitting(kind, found)


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


def _without(thing: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in thing.items() if name not in names}


def _copy(model: Any, **changed: Any) -> Any:
    copied = object.__new__(type(model))
    _set(copied, "__dict__", {**model.__dict__, **changed})
    _set(copied, "__pydantic_fields_set__", model.__pydantic_fields_set__.copy())
    _set(copied, "__pydantic_extra__", model.__pydantic_extra__.copy())
    _set(copied, "__pydantic_private__", None)
    return copied
