"""Workers that stand ready between pieces, for callers on any thread and in any event loop.

An engine opens its workers on one event loop, and keeps them for a ``with`` block. Here that block is a thread, which
lives until the workers are closed or nobody refers to them any more.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Hashable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from ec_agent.engines.base import Engine, Job, Runs


class Ready:
    """Workers that are there.

    Args:
        runs: the workers.
        loop: the event loop on which they were opened.
    """

    def __init__(self, runs: Runs, loop: asyncio.AbstractEventLoop) -> None:
        self._runs, self._loop = runs, loop

    @property
    def broken(self) -> bool:
        """Whether they are gone for good."""
        return self._runs.broken or not self._loop.is_running()

    def prepared(self, subject: Any) -> Any:
        """Return what ``run`` needs for the pieces about one subject; see ``Runs``."""
        return self._runs.prepared(subject)

    def run(self, prepared: Any, piece: Hashable) -> Future[Any]:
        """Run one piece. Cancelling the future cancels the piece."""
        return asyncio.run_coroutine_threadsafe(self._runs.run(prepared, piece), self._loop)

    def stop(self, piece: Hashable) -> None:
        """Call the method ``stop`` of a piece that runs, where it runs."""
        self._runs.stop(piece)


class StandingWorkers:
    """Workers for one job. They are started when they are first needed, and again after they were lost or closed.

    Args:
        engine: where they are.
        job: what they do.
    """

    def __init__(self, engine: Engine, job: Job) -> None:
        self._engine, self._job = engine, job
        self._host: _Host | None = None
        self._lock = threading.Lock()

    def ready(self) -> Future[Ready]:
        """Start the workers if there are none, and return what waits for them.

        Raises:
            ConfigError: they cannot be had; raised by the future.
        """
        with self._lock:
            if self._host is None or self._host.over:
                self._host = _Host(self._engine, self._job)
                # Not at the end of the process: the engine's own package ends its workers then.
                weakref.finalize(self, self._host.leave).atexit = False
            return self._host.waiter()

    def close(self) -> None:
        """End the workers, and wait until they have left what they hold."""
        with self._lock:
            host, self._host = self._host, None
        if host is not None:
            host.leave()
            host.thread.join()


class _Host:
    """The thread that holds workers open."""

    def __init__(self, engine: Engine, job: Job) -> None:
        self._opened: Future[Ready] = Future()
        self._loop = asyncio.new_event_loop()
        self._leave = asyncio.Event()
        self.thread = threading.Thread(target=self._serve, args=(engine, job), name="ec_agent-workers", daemon=True)
        self.thread.start()

    @property
    def over(self) -> bool:
        """Whether there are no workers any more, and none will come."""
        if not self._opened.done():
            return False
        return self._opened.exception() is not None or self._opened.result().broken

    def waiter(self) -> Future[Ready]:
        """Return a future of the caller's own, which may be cancelled."""
        own: Future[Ready] = Future()

        def pass_on(opened: Future[Ready]) -> None:
            if own.set_running_or_notify_cancel():
                error = opened.exception()
                if error is None:
                    own.set_result(opened.result())
                else:
                    own.set_exception(error)

        self._opened.add_done_callback(pass_on)
        return own

    def leave(self) -> None:
        """Have the workers ended, without waiting for it. Any thread may call this."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._leave.set)

    def _serve(self, engine: Engine, job: Job) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._hold(engine, job))

    async def _hold(self, engine: Engine, job: Job) -> None:
        try:
            async with engine.opened(job) as runs:
                self._opened.set_result(Ready(runs, self._loop))
                await self._leave.wait()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)
