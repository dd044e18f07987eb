"""Bodies of HTTP answers: read along while their reader does, or made up for one who wants a stream."""

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
_TAIL = 32  # bytes: as much as the mark and blanks around it take


class _Ear:
    """The bytes of a body on their way to its reader.

    Args:
        stream: where they come from.
        hear: told of each part.
        over: told once that the body has ended, and whether it was read to its end.
    """

    def __init__(self, stream: Any, hear: Callable[[bytes], None], over: Callable[[bool], None]) -> None:
        self._stream, self._hear, self._over = stream, hear, over
        self._read, self._told = False, False

    def _ended(self) -> None:
        if not self._told:
            self._told = True
            self._over(self._read)


class _SyncEar(_Ear, httpx2.SyncByteStream):
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


class _AsyncEar(_Ear, httpx2.AsyncByteStream):
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
    """Read along with whoever reads the response's body."""
    ear = _AsyncEar if isinstance(response.stream, httpx2.AsyncByteStream) else _SyncEar
    response.stream = ear(response.stream, hear, over)


class Marking:
    """A client's decoder of events, which tells of the mark that ends a stream; the client itself keeps it back.

    Args:
        decoder: the client's.
        marked: told when the mark comes.
    """

    def __init__(self, decoder: Any, marked: Callable[[], None]) -> None:
        self._decoder, self._marked = decoder, marked
        self._tail = b""

    def iter_bytes(self, parts: Iterator[bytes]) -> Iterator[Any]:
        """The events in these bytes."""
        for event in self._decoder.iter_bytes(map(self._passed, parts)):
            self._look(event)
            yield event
        self._look_at_tail()

    async def aiter_bytes(self, parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """The same of an asynchronous body."""
        async for event in self._decoder.aiter_bytes(self._passed(part) async for part in parts):
            self._look(event)
            yield event
        self._look_at_tail()

    def _passed(self, part: bytes) -> bytes:
        self._tail = (self._tail + part[-_TAIL:])[-_TAIL:]
        return part

    def _look(self, event: Any) -> None:
        if event.data.startswith(_END_MARK):
            self._marked()

    def _look_at_tail(self) -> None:
        if _END_LINE.search(self._tail):  # without the blank line after it, it is no event
            self._marked()


def parts_of(raw: bytes, kind: str, packed: str | None = None) -> tuple[Any, list[Any]]:
    """What a body says: the whole answer, or the events of a streamed one; neither where it cannot be read.

    Args:
        raw: its bytes.
        kind: its content type.
        packed: its content encoding.
    """
    body = _unpacked(raw, packed)
    if body is None:
        return None, []
    if "event-stream" not in kind:
        return _loaded(body), []
    events = [_loaded(event.data) for event in SSEDecoder().iter_bytes(iter([body]))]
    return None, [event for event in events if event is not None]


def end_marked(raw: bytes, packed: str | None = None) -> bool:
    """Whether the mark that ends a stream is in these bytes of a body."""
    return bool(_END_LINE.search(_unpacked(raw, packed) or b""))


def _unpacked(raw: bytes, packed: str | None) -> bytes | None:
    try:
        return httpx2.Response(200, headers={"content-encoding": packed} if packed else {}, content=raw).content
    except httpx2.DecodingError:  # compressed, and cut
        return None


def _loaded(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def as_stream(completion: Any, options: Any, url: Any, usage_asked: bool) -> httpx2.Response:
    """A whole completion, of a chat or the legacy kind, as the HTTP response that a streamed one would have had.

    Args:
        completion: the answer, as the client parsed it.
        options: those of the request that wants a stream.
        url: where that was sent.
        usage_asked: whether the stream is to end with its usage.
    """
    whole = completion.model_dump(warnings=False, exclude_none=True)
    usage, choices = whole.pop("usage", None), whole.pop("choices", [])
    # The parts of a legacy completion are named as the whole is, and hold texts in place of deltas.
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
