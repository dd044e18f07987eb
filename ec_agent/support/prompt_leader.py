"""Lets one of several rollouts with the same prompt call its model first, so that the server processes the prompt once.

A server caches a prompt after processing it. If requests with the same prompt arrive before that, it processes the
prompt for each of them. So one rollout *leads*, and the others *follow* when its answer begins.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

from ec_agent.support.plans import Step

_LOOKS_UP = 0.05  # seconds between two looks at whether a sync wait shall end


class Lead:
    """Decides which rollout leads, and lets the others wait until they may follow.

    The first rollout that comes leads, so that no rollout waits for one that has not begun. Thread-safe; waits may be
    in several event loops.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._over = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def take(self) -> bool:
        """Make the caller the leader if there is none yet. Return whether it became the leader."""
        with self._lock:
            first, self._taken = not self._taken, True
        return first

    @property
    def followed(self) -> bool:
        """Whether the others may follow."""
        return self._over.is_set()

    def follow(self) -> None:
        """Let the others follow. Rollouts that come later do not wait. Calling it twice is harmless."""
        if self._over.is_set():
            return
        with self._lock:
            self._over.set()
            waiting, self._waiting = self._waiting, []
        for loop, waiter in waiting:
            with suppress(RuntimeError):  # the event loop is closed, so no rollout waits in it any more
                loop.call_soon_threadsafe(_wake, waiter)

    def wait(self, most: float | None, left: Callable[[], bool]) -> Step:
        """Make a step that waits until the others may follow.

        Args:
            most: longest time to wait, in seconds. ``None`` sets no limit.
            left: function that tells whether to stop waiting. Only sync runs ask it, because async ones are cancelled.
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
"""Set in the rollout that leads. The embedded model processes its prompt for the others, too, and lets them follow."""
