"""Of several rollouts with one prompt, one asks its model first; the others follow once the server has read the prompt.

A server keeps what it has read of a prompt. Requests that arrive while it still reads the same prompt for another one
find nothing kept, and have it read again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

from ec_agent.support.plans import Step

_LOOKS_UP = 0.05  # seconds


class Lead:
    """Who leads, and whether the others may follow. Thread-safe, and for any number of event loops.

    Nobody waits for a rollout that has not begun: whichever comes first leads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._over = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def take(self) -> bool:
        """Lead, if nobody does; whether the caller leads."""
        with self._lock:
            first, self._taken = not self._taken, True
        return first

    @property
    def followed(self) -> bool:
        """Whether the others may follow."""
        return self._over.is_set()

    def follow(self) -> None:
        """Let the others follow; whoever comes later need not wait. Saying so twice is harmless."""
        if self._over.is_set():
            return
        with self._lock:
            self._over.set()
            waiting, self._waiting = self._waiting, []
        for loop, waiter in waiting:
            with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_wake, waiter)

    def wait(self, most: float | None, left: Callable[[], bool]) -> Step:
        """A wait until the others may follow.

        Args:
            most: it is over after so many seconds at the latest; ``None`` sets no limit.
            left: asked now and then in a sync run, which cannot be cancelled; the wait is over when it says so.
        """
        return Step(lambda: self._sit(most, left), lambda: self._asit(most))

    def _sit(self, most: float | None, left: Callable[[], bool]) -> None:
        until = None if most is None else time.monotonic() + most
        while not left():
            remaining = _LOOKS_UP if until is None else min(_LOOKS_UP, until - time.monotonic())
            if remaining <= 0 or self._over.wait(remaining):
                return

    async def _asit(self, most: float | None) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._over.is_set():
                return
            self._waiting.append((loop, waiter))
        try:
            await asyncio.wait([waiter], timeout=most)
        finally:
            with self._lock, suppress(ValueError):
                self._waiting.remove((loop, waiter))


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


current_lead: ContextVar[Lead | None] = ContextVar("ec_agent_lead", default=None)
"""Set in the rollout that leads: the embedded model reads the prompt for the others, too, and lets them follow."""
