"""Make the ``openai`` client's objects of a streamed chat answer in a tenth of its time.

The client looks at every line of a stream, and checks and converts every value of every event. But the events of one
answer differ only in their text and their logprobs. So the first event of a kind is made into an object by the client,
and the later ones, if they differ in nothing else, are copies of it with other texts. Their logprobs are made when
somebody looks (``openai_objects``). All that decides what happens, such as errors in the stream and its end, is still
done by the client.

This relies on ``openai.Stream``: it gets events of ``_decoder``, reads their ``data`` and ``json()``, and has
``_client._process_response_data`` make objects of them. ``tests/insides/test_openai_chunks.py`` guards it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from openai.types.chat import ChatCompletionChunk
from pydantic_core import from_json

from ec_agent.insides.openai_objects import Later, dump_later, put_later

_END = b"\n\n"
_DATA = b"data: "
_VARIES = "obfuscation"  # OpenAI adds random letters to each event, so that its length says nothing of its text
_MOST_KINDS = 64
_set = object.__setattr__


class Event:
    """An event with nothing but data, as the client's ``ServerSentEvent``."""

    __slots__ = ("data",)
    event = id = retry = None

    def __init__(self, data: str) -> None:
        self.data = data

    def json(self) -> Any:
        """Return what the data say."""
        try:
            return from_json(self.data)
        except ValueError:
            return json.loads(self.data)  # its error is the one that the client reports


@dataclass(slots=True)
class _Kind:
    """Events that differ in nothing but text and logprobs.

    Attributes:
        rest: what else is in the event, in its choice, and in the delta of that.
        chunk: the object of one of them, without logprobs.
        shared: what the caller made of what they share.
    """

    rest: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
    chunk: ChatCompletionChunk
    shared: Any


class QuickChunks:
    """Makes the chunks of one stream.

    Args:
        stream: the client's ``Stream`` or ``AsyncStream`` of ``ChatCompletionChunk``, of which nothing was read yet.
        usual: tells whether logprobs are usual: the client would change no value of them.
        later: makes the source of a chunk's logprobs.
        shared: makes something of what events of one kind share: the three dicts of ``_Kind.rest``.
        made: is called for each event of which a chunk was made quickly, with that, its text and its logprobs; and
            without arguments for other events.
        to_langchain: whether a chat model of LangChain reads the stream.
    """

    def __init__(
        self,
        stream: Any,
        usual: Callable[[Any], bool],
        later: Callable[[Any], Later],
        shared: Callable[..., Any],
        made: Callable[..., None],
        *,
        to_langchain: bool,
    ) -> None:
        self._decoder, self._client = stream._decoder, stream._client
        self._usual, self._later, self._shared, self._made = usual, later, shared, made
        self._to_langchain = to_langchain
        self._kinds: dict[Any, _Kind] = {}
        self._kinds_made = 0
        stream._decoder = stream._client = self

    def __getattr__(self, name: str) -> Any:
        """Return anything else that the stream asks its client for."""
        return getattr(self._client, name)

    def iter_bytes(self, parts: Iterator[bytes]) -> Iterator[Any]:
        """Yield the events in these bytes."""
        blocks = _Blocks()
        for part in parts:
            yield from blocks.events_in(part)
            if blocks.odd is not None:
                yield from self._decoder.iter_bytes(chain([blocks.odd], parts))
                return
        yield from self._decoder.iter_bytes(iter([blocks.left()]))

    async def aiter_bytes(self, parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the events in the bytes of an asynchronous body."""
        blocks = _Blocks()
        async for part in parts:
            for event in blocks.events_in(part):
                yield event
            if blocks.odd is not None:
                async for event in self._decoder.aiter_bytes(_chained(blocks.odd, parts)):
                    yield event
                return
        for event in self._decoder.iter_bytes(iter([blocks.left()])):
            yield event

    def _process_response_data(self, *, data: Any, cast_to: Any, response: Any) -> Any:
        """Make the object of an event."""
        chunk = self._quick(data, response) if cast_to is ChatCompletionChunk else None
        if chunk is None:
            self._made()
            return self._client._process_response_data(data=data, cast_to=cast_to, response=response)
        if self._to_langchain:
            dump_later(chunk)
        return chunk

    def _quick(self, data: Any, response: Any) -> Any:
        try:
            (choice,) = data["choices"]
            delta = choice["delta"]
            text = delta.get("content")
            logprobs = choice.get("logprobs")
            name = choice["index"], choice.get("finish_reason"), len(delta), len(choice), len(data)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        if type(text) is not str or not (logprobs is None or self._usual(logprobs)):
            return None
        varying = data.get(_VARIES)
        if varying is not None and type(varying) is not str:
            return None
        rest = _without(data, "choices", _VARIES), _without(choice, "delta", "logprobs"), _without(delta, "content")
        try:
            kind = self._kinds.get(name)
        except TypeError:  # a list in place of a number
            return None
        if kind is None or kind.rest != rest:
            kind = self._new_kind(name, rest, data, response)
        if kind is None:
            return None
        self._made(kind.shared, text, logprobs)
        return self._copied(kind.chunk, text, logprobs, varying)

    def _new_kind(self, name: Any, rest: Any, data: Any, response: Any) -> _Kind | None:
        if self._kinds_made >= _MOST_KINDS:  # events that differ in more, such as counts of tokens, are the client's
            return None
        self._kinds_made += 1
        empty = {**rest[1], "delta": data["choices"][0]["delta"]}
        if "logprobs" in data["choices"][0]:
            empty["logprobs"] = None
        chunk = self._client._process_response_data(
            data={**data, "choices": [empty]}, cast_to=ChatCompletionChunk, response=response
        )
        if type(chunk) is not ChatCompletionChunk:
            return None
        kind = self._kinds[name] = _Kind(rest, chunk, self._shared(*rest))
        return kind

    def _copied(self, chunk: Any, text: str, logprobs: Any, varying: str | None) -> Any:
        (choice,) = chunk.choices
        copied = _copy(choice, delta=_copy(choice.delta, content=text))
        if logprobs is not None:
            put_later(copied, self._later(logprobs))
        if varying is None:
            return _copy(chunk, choices=[copied])
        if _VARIES in chunk.__dict__:
            return _copy(chunk, choices=[copied], **{_VARIES: varying})
        made = _copy(chunk, choices=[copied])
        made.__pydantic_extra__[_VARIES] = varying
        return made


class _Blocks:
    """Divides the bytes of a stream at empty lines.

    Attributes:
        odd: the bytes from the first block on that is more than one line of data or a comment; ``None`` before it.
    """

    def __init__(self) -> None:
        self.odd: bytes | None = None
        self._parts: list[bytes] = []

    def events_in(self, part: bytes) -> Iterator[Event]:
        """Yield the events that end in the next part of the stream."""
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
                yield Event(block.decode()[len(_DATA) :])
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
