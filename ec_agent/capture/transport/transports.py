"""The transports, and functions that make HTTP clients with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any, Self

import httpx2
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

from ec_agent.capture.taken_logprobs import take_into
from ec_agent.capture.transport.decoding import DECODER
from ec_agent.capture.transport.events import Events
from ec_agent.errors import ConfigError
from ec_agent.support.checks import flag, repr_of
from ec_agent.support.plans import Plan, Step, adrive, drive

_PACKING = ("content-encoding", "content-length", "transfer-encoding")


class _Taking:
    """Base class of the sync and the async transport. It takes logprobs out of a response."""

    _body: type[_SyncBody] | type[_AsyncBody]

    def __init__(self, inner: Any, strip: bool) -> None:
        if not isinstance(strip, bool):
            raise ConfigError(f"strip is {strip!r}; give True, or False to leave answers as they are")
        self._inner = inner
        self._decoder = DECODER if strip else None

    def _handled(self, send: Step) -> Plan[httpx2.Response]:
        """Send a request, and take the logprobs out of the answer if a record wants them."""
        taken = take_into.get() if self._decoder is not None else None
        if taken is not None:
            taken.clear()
            take_into.set(None)  # for other requests that are sent meanwhile, and for a second transport like this
        try:
            response: httpx2.Response = yield send
        finally:
            if taken is not None:
                take_into.set(taken)
        if taken is None or self._decoder is None or not response.is_success:
            return response
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if taken.streamed:
            if kind != "text/event-stream":
                return response  # an error, or a format that only the client may know
            taken.by_transport = True
            return _with_body(response, self._body(response, Events(taken, self._decoder.of_event)))
        if not kind.endswith("json"):
            return response
        body = yield Step(response.read, response.aread)
        found = self._decoder.of_whole(body)
        if found is not None:
            body, taken.whole = found
            taken.took = taken.by_transport = True
        return _with_body(response, httpx2.ByteStream(body), len(body))


def _with_body(response: httpx2.Response, body: Any, length: int | None = None) -> httpx2.Response:
    """Return the response with another body, which is not compressed."""
    headers = response.headers.copy()
    for name in _PACKING:
        headers.pop(name, None)
    if length is not None:
        headers["content-length"] = str(length)
    return httpx2.Response(response.status_code, headers=headers, stream=body, extensions=response.extensions)


class _SyncBody(httpx2.SyncByteStream):
    def __init__(self, source: httpx2.Response, events: Events) -> None:
        self._source, self._events = source, events

    def __iter__(self) -> Iterator[bytes]:
        for part in self._source.iter_bytes():
            if emptied := self._events.feed(part):
                yield emptied
        yield self._events.finish()

    def close(self) -> None:
        self._source.close()


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, source: httpx2.Response, events: Events) -> None:
        self._source, self._events = source, events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self._source.aiter_bytes()) as parts:
            async for part in parts:
                if emptied := self._events.feed(part):
                    yield emptied
        yield self._events.finish()

    async def aclose(self) -> None:
        await self._source.aclose()


class EntropyTransport(_Taking, httpx2.BaseTransport):
    """A transport that takes logprobs out of answers before the ``openai`` client makes objects of them.

    Inside a rollout (or ``record_calls()``) the client gets bodies without logprobs. The entropies are the same as
    without this transport, bit for bit. Outside, or if the logprobs cannot be read here, bodies are not changed. See
    docs/transport.md.

    Args:
        inner: the transport that sends the requests. ``None`` means ``httpx2.HTTPTransport()``.
        strip: ``False`` changes no answers, for agents that read logprobs themselves.

    Raises:
        ConfigError: an argument has a wrong type.

    Example:
        >>> OpenAI(http_client=httpx2.Client(transport=EntropyTransport(httpx2.HTTPTransport(http2=True))))
    """

    _body = _SyncBody

    def __init__(self, inner: httpx2.BaseTransport | None = None, *, strip: bool = True) -> None:
        _checked(inner, httpx2.BaseTransport)
        flag("strip", strip)
        super().__init__(inner or httpx2.HTTPTransport(), strip)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return its response, maybe without logprobs."""
        send = partial(self._inner.handle_request, request)
        return drive(self._handled(Step(send, send)))

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class AsyncEntropyTransport(_Taking, httpx2.AsyncBaseTransport):
    """``EntropyTransport`` for asynchronous clients.

    Args:
        inner: the transport that sends the requests. ``None`` means ``httpx2.AsyncHTTPTransport()``.
        strip: ``False`` changes no answers.

    Raises:
        ConfigError: an argument has a wrong type.
    """

    _body = _AsyncBody

    def __init__(self, inner: httpx2.AsyncBaseTransport | None = None, *, strip: bool = True) -> None:
        _checked(inner, httpx2.AsyncBaseTransport)
        flag("strip", strip)
        super().__init__(inner or httpx2.AsyncHTTPTransport(), strip)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return its response, maybe without logprobs."""
        send = partial(self._inner.handle_async_request, request)
        return await adrive(self._handled(Step(send, send)))

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._inner.__aexit__(*error)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def http_client(*, strip: bool = True, **kwargs: Any) -> httpx2.Client:
    """Make an HTTP client with an ``EntropyTransport``, for ``OpenAI(http_client=...)`` or ``ChatOpenAI``.

    Args:
        strip: as for ``EntropyTransport``.
        kwargs: arguments of ``openai.DefaultHttpxClient``. Its defaults are used, including proxies from the
            environment.
    """
    flag("strip", strip)
    client = DefaultHttpxClient(**kwargs)
    _put_below(client, partial(EntropyTransport, strip=strip))
    return client


def async_http_client(*, strip: bool = True, **kwargs: Any) -> httpx2.AsyncClient:
    """Make an asynchronous HTTP client with an ``AsyncEntropyTransport``; arguments as of ``http_client``.

    It is for ``AsyncOpenAI(http_client=...)`` or ``ChatOpenAI(http_async_client=...)``.
    """
    flag("strip", strip)
    client = DefaultAsyncHttpxClient(**kwargs)
    _put_below(client, partial(AsyncEntropyTransport, strip=strip))
    return client


def _put_below(client: Any, wrap: Any) -> None:
    # A client that is made with a transport ignores proxies and certificates. So it makes its own transports, and ours
    # are put around them afterwards.
    client._transport = wrap(client._transport)
    client._mounts = {
        pattern: None if mounted is None else wrap(mounted) for pattern, mounted in client._mounts.items()
    }


def _checked(inner: Any, kind: type) -> None:
    if inner is not None and not isinstance(inner, kind):
        raise ConfigError(f"inner is {repr_of(inner)}; give an httpx2.{kind.__name__}, or leave it out for the default")
