"""OpenAI clients that can be shared by threads and that outlive event loops."""

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
    """Where requests go and how.

    Attributes:
        base_url: ending in ``/v1`` as a rule.
        api_key: any text where the endpoint asks for none.
        timeout: seconds, for one request.
        max_retries: how often a failed request is sent again.
    """

    base_url: str
    api_key: str
    timeout: float
    max_retries: int

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url})"  # the key stays out of tracebacks

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return urlsplit(self.base_url).hostname in {"127.0.0.1", "localhost", "::1"}


def sync_client(endpoint: Endpoint) -> OpenAI:
    """A client for the endpoint, shared by this process's threads."""
    return _sync_client(endpoint, os.getpid())


@lru_cache(maxsize=16)
def _sync_client(endpoint: Endpoint, pid: int) -> OpenAI:  # the pid keeps a forked child off its parent's sockets
    from openai import DefaultHttpxClient, OpenAI

    return OpenAI(**_settings(endpoint), http_client=DefaultHttpxClient(**_transport(endpoint)))


_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Endpoint, AsyncOpenAI]] = (
    weakref.WeakKeyDictionary()
)
_by_loop_lock = threading.Lock()


def async_client(endpoint: Endpoint) -> AsyncOpenAI:
    """A client for the endpoint, of the running event loop: one used over a closed loop fails."""
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
        # No idle connection is kept: nothing is left open when an event loop closes, and none is found closed by the
        # server, which without retries would fail a request now and then. Against a model call the cost is nothing.
        "limits": httpx2.Limits(max_connections=1000, max_keepalive_connections=0),
        "trust_env": not endpoint.is_loopback,  # a proxy set for the outside world cannot reach this machine
        "timeout": endpoint.timeout,
    }
