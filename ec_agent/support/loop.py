"""One event loop, in a thread, for all sync functions that run async work. It stays open between their calls.

Chat models keep connections open, and a connection works only on the event loop that it was opened on. ``asyncio.run``
would make and close a loop for each call. A model that is used twice would then have connections on a closed loop, and
fail.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

THREADS = "ec_agent-work"
"""Prefix of the names of the threads that run blocking calls."""

# Threads are made when they are needed. With a low limit, calls that never return would keep other calls waiting.
_MOST_THREADS = 10_000


class _Threads(ThreadPoolExecutor):
    """Threads for blocking calls. Shutting down does not wait for them, so a stopped run never hangs on a call."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more work, and drop work that has not started. ``wait`` is ignored."""
        super().shutdown(wait=False, cancel_futures=True)


class _Loop:
    """An event loop that runs in a thread of its own, and the threads for blocking calls of work on it."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._running = 0  # how many pieces of work run, or will start
        self._threads: _Threads | None = None  # None while no work runs
        threading.Thread(target=self._serve, name="ec_agent-loop", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop from another thread, and wait for its result."""
        begun: list[asyncio.Task[Any]] = []
        with self._lock:
            self._running += 1
        future = asyncio.run_coroutine_threadsafe(self._in_threads(work, begun), self._loop)
        try:
            _until_done(future)
            return future.result()
        except KeyboardInterrupt:
            # Cancel the work and wait until it has ended, so that it can save its results. A second Ctrl-C ends the
            # wait.
            if not future.done():
                self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in begun])
                _until_done(future)
            raise

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while True:
            # These two errors of a task leave run_forever, too. The caller that waits for the task gets the error
            # through its future, and the loop must go on for others.
            with suppress(SystemExit, KeyboardInterrupt):
                self._loop.run_forever()

    async def _in_threads(self, work: Coroutine[Any, Any, T], begun: list[asyncio.Task[Any]]) -> T:
        """Run work with threads for blocking calls. When the last work ends, drop the threads and cancel its tasks."""
        own = asyncio.current_task()
        assert own is not None
        begun.append(own)
        if self._threads is None:
            self._threads = _Threads(_MOST_THREADS, THREADS)
            self._loop.set_default_executor(self._threads)
        try:
            return await work
        finally:
            with self._lock:
                self._running -= 1
                last = self._running == 0
            if last:
                self._threads.shutdown()
                self._threads = None
                left = asyncio.all_tasks() - {own}
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)


def _until_done(future: Future[Any]) -> None:
    # A Ctrl-C that comes just before the wait begins does not end it. So no wait is long.
    while not wait([future], timeout=0.1).done:
        pass


_lock = threading.Lock()
_alive: _Loop | None = None


def on_loop() -> bool:
    """Tell whether the caller is running in an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from sync code and return its result.

    When the last work on the loop has ended, tasks that it left running are cancelled. Blocking calls in threads
    (``asyncio.to_thread``) cannot be cancelled; nobody waits for them.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed. The work was cancelled and has ended.
        BaseException: whatever the work raises, ``SystemExit`` included.
    """
    global _alive
    with _lock:
        if _alive is None or _alive.process != os.getpid():  # after a fork, the child has the loop, but not its thread
            _alive = _Loop()
        loop = _alive
    return loop.run(work)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held the lock during the fork; nobody would release it here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
