"""Copies bodies of HTTP answers while somebody else reads them, and makes a streamed body of a whole answer."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
from openai._constants import RAW_RESPONSE_HEADER
from openai._streaming import SSEDecoder

_END_MARK = "[DONE]"
_END_LINE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")
_TAIL = 32  # bytes, enough for the mark and white space around it


class _Copying:
    """A body that passes its bytes on to its reader, and a copy of them to us.

    Args:
        stream: the body.
        hear: called with each part.
        over: called once when the body is closed, with whether it was read to its end.
    """

    def __init__(self, stream: Any, hear: Callable[[bytes], None], over: Callable[[bool], None]) -> None:
        self._stream, self._hear, self._over = stream, hear, over
        self._read, self._told = False, False

    def _ended(self) -> None:
        if not self._told:
            self._told = True
            self._over(self._read)


class _SyncCopying(_Copying, httpx2.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._hear(part)
            yield part
        self._read = True

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._ended()


class _AsyncCopying(_Copying, httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._hear(part)
            yield part
        self._read = True

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._ended()


def listen(response: httpx2.Response, hear: Callable[[bytes], None], over: Callable[[bool], None]) -> None:
    """Get a copy of a response's body while its reader reads it.

    Args:
        response: the response.
        hear: called with each part of the body.
        over: called once when the body is closed, with whether it was read to its end.
    """
    copying = _AsyncCopying if isinstance(response.stream, httpx2.AsyncByteStream) else _SyncCopying
    response.stream = copying(response.stream, hear, over)


class Marking:
    """Wraps a client's decoder of events to notice the mark ``[DONE]``, which the client does not pass on.

    Args:
        decoder: the client's decoder.
        marked: called when the mark comes.
    """

    def __init__(self, decoder: Any, marked: Callable[[], None]) -> None:
        self._decoder, self._marked = decoder, marked
        self._tail = b""

    def iter_bytes(self, parts: Iterator[bytes]) -> Iterator[Any]:
        """Yield the events in these bytes."""
        for event in self._decoder.iter_bytes(map(self._passed, parts)):
            self._look(event)
            yield event
        self._look_at_tail()

    async def aiter_bytes(self, parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the events in the bytes of an asynchronous body."""
        async for event in self._decoder.aiter_bytes(self._passed(part) async for part in parts):
            self._look(event)
            yield event
        self._look_at_tail()

    def _passed(self, part: bytes) -> bytes:
        self._tail = (self._tail + part[-_TAIL:])[-_TAIL:]  # the mark may be divided between two parts
        return part

    def _look(self, event: Any) -> None:
        if event.data.startswith(_END_MARK):
            self._marked()

    def _look_at_tail(self) -> None:
        if _END_LINE.search(self._tail):  # the decoder makes no event of the mark if no blank line follows
            self._marked()


def parts_of(raw: bytes, kind: str, packed: str | None = None) -> tuple[Any, list[Any]]:
    """Read a body.

    Args:
        raw: the bytes of the body.
        kind: its content type.
        packed: its content encoding, or ``None``.

    Returns:
        ``(answer, [])`` for a whole answer, ``(None, events)`` for a streamed one, ``(None, [])`` if it cannot be read.
    """
    body = _unpacked(raw, packed)
    if body is None:
        return None, []
    if "event-stream" not in kind:
        return _loaded(body), []
    events = [_loaded(event.data) for event in SSEDecoder().iter_bytes(iter([body]))]
    return None, [event for event in events if event is not None]


def end_marked(raw: bytes, packed: str | None = None) -> bool:
    """Tell whether these bytes of a body hold the mark ``[DONE]``, which ends a stream."""
    return bool(_END_LINE.search(_unpacked(raw, packed) or b""))


def _unpacked(raw: bytes, packed: str | None) -> bytes | None:
    try:
        return httpx2.Response(200, headers={"content-encoding": packed} if packed else {}, content=raw).content
    except httpx2.DecodingError:  # the body is compressed and incomplete
        return None


def _loaded(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def as_stream(completion: Any, options: Any, url: Any, usage_asked: bool) -> httpx2.Response:
    """Turn a whole completion (chat or legacy) into the HTTP response of a streamed one.

    Args:
        completion: the answer, as the client parsed it.
        options: the options of the request, whose reader wants a stream.
        url: the address of the request.
        usage_asked: whether the last part of the stream shall have the usage.
    """
    whole = completion.model_dump(warnings=False, exclude_none=True)
    usage, choices = whole.pop("usage", None), whole.pop("choices", [])
    # In the legacy form, parts have the same "object" as a whole completion, and "text" in place of "delta".
    legacy = not any("message" in choice for choice in choices)
    base = whole if legacy else {**whole, "object": "chat.completion.chunk"}
    chunks = []
    for choice in choices:
        message, place = choice.pop("message", {}), {"index": choice.get("index", 0)}
        for number, called in enumerate(message.get("tool_calls") or ()):
            called["index"] = number
        end = choice.pop("finish_reason", "stop")
        said: dict[str, Any] = {} if legacy else {"delta": message}
        silence: dict[str, Any] = {"text": ""} if legacy else {"delta": {}}
        chunks.append({**base, "choices": [{**choice, **said, "finish_reason": None}]})
        chunks.append({**base, "choices": [{**place, **silence, "finish_reason": end}]})
    if usage and usage_asked:
        chunks.append({**base, "choices": [], "usage": usage})
    events = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
    headers = options.headers if isinstance(options.headers, dict) else {}
    raw = headers.get(RAW_RESPONSE_HEADER)
    request = httpx2.Request("POST", str(url), headers={RAW_RESPONSE_HEADER: raw} if raw else {})
    return httpx2.Response(
        200,
        headers={"content-type": "text/event-stream"},
        content="".join(f"data: {event}\n\n" for event in events).encode(),
        request=request,
    )
