"""OpenAI clients for the chat model: one per process for sync calls, one per event loop for async calls."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


class Endpoint(NamedTuple):
    """Where requests are sent, and how.

    Attributes:
        base_url: address of the endpoint, usually ending in ``/v1``.
        api_key: its key. Any text will do if the endpoint needs no key.
        timeout: seconds for one request.
        max_retries: how often a failed request is sent again.
    """

    base_url: str
    api_key: str
    timeout: float
    max_retries: int

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url})"  # without the key, which must not be seen in tracebacks

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return urlsplit(self.base_url).hostname in {"127.0.0.1", "localhost", "::1"}


def sync_client(endpoint: Endpoint) -> OpenAI:
    """Return the client of this process for an endpoint. All threads share it."""
    return _sync_client(endpoint, os.getpid())


@lru_cache(maxsize=16)
def _sync_client(endpoint: Endpoint, pid: int) -> OpenAI:  # with the pid, a forked child gets a client with new sockets
    from openai import DefaultHttpxClient, OpenAI

    return OpenAI(**_settings(endpoint), http_client=DefaultHttpxClient(**_transport(endpoint)))


_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Endpoint, AsyncOpenAI]] = (
    weakref.WeakKeyDictionary()
)
_by_loop_lock = threading.Lock()


def async_client(endpoint: Endpoint) -> AsyncOpenAI:
    """Return the client of the running event loop for an endpoint. A client fails if its event loop was closed."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    with _by_loop_lock:
        clients = _by_loop.setdefault(asyncio.get_running_loop(), {})
    if endpoint not in clients:
        clients[endpoint] = AsyncOpenAI(
            **_settings(endpoint), http_client=DefaultAsyncHttpxClient(**_transport(endpoint))
        )
    return clients[endpoint]


def _settings(endpoint: Endpoint) -> dict[str, Any]:
    return endpoint._asdict()


def _transport(endpoint: Endpoint) -> dict[str, Any]:
    import httpx2

    return {
        # Connections are closed after each request. An idle one would be left open when its event loop closes. And if
        # the server closed it meanwhile, the next request would fail, because there are no retries. Opening a new
        # connection takes little time compared with a model call.
        "limits": httpx2.Limits(max_connections=1000, max_keepalive_connections=0),
        "trust_env": not endpoint.is_loopback,  # a proxy from the environment cannot reach a server on this machine
        "timeout": endpoint.timeout,
    }
