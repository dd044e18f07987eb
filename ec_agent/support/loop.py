"""One event loop for the sync functions that run async work, alive between their calls.

Chat models keep their connections, and these belong to the loop they were opened on. With a loop of its own for every
call (``asyncio.run``) a model that is used twice would find its connections on a closed one, and fail.
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
"""How the names of the threads begin in which its blocking calls run."""

_MOST_THREADS = 10_000  # made as they are needed; too few, and calls that block for ever would hold up the others


class _Threads(ThreadPoolExecutor):
    """Threads that nobody waits for: a stopped run must not hang on a call that blocks."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        super().shutdown(wait=False, cancel_futures=True)


class _Loop:
    """The loop, in a thread of its own, and the threads of what runs on it."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._running = 0  # or about to
        self._threads: _Threads | None = None  # none while nothing runs
        threading.Thread(target=self._serve, name="ec_agent-loop", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        begun: list[asyncio.Task[Any]] = []
        with self._lock:
            self._running += 1
        future = asyncio.run_coroutine_threadsafe(self._in_threads(work, begun), self._loop)
        try:
            _until_done(future)
            return future.result()
        except KeyboardInterrupt:
            if not future.done():  # what it keeps is kept before anybody leaves; a second Ctrl-C does not wait
                self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in begun])
                _until_done(future)
            raise

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while True:
            # A task that is to end the process ends the loop; who waits for the task is told.
            with suppress(SystemExit, KeyboardInterrupt):
                self._loop.run_forever()

    async def _in_threads(self, work: Coroutine[Any, Any, T], begun: list[asyncio.Task[Any]]) -> T:
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
    # A Ctrl-C that comes just before the thread falls asleep does not wake it: it looks up now and then.
    while not wait([future], timeout=0.1).done:
        pass


_lock = threading.Lock()
_alive: _Loop | None = None


def on_loop() -> bool:
    """Whether this is called from within a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run async work from sync code. Blocking calls made with ``asyncio.to_thread`` have threads enough.

    Tasks that it leaves behind are cancelled; calls that still block are left, and nobody waits for them.

    Raises:
        KeyboardInterrupt: Ctrl-C; the work has been cancelled and has ended.
        BaseException: whatever the work raises, ``SystemExit`` included.
    """
    global _alive
    with _lock:
        if _alive is None or _alive.process != os.getpid():  # a forked child has the loop without its thread
            _alive = _Loop()
        loop = _alive
    return loop.run(work)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it at the fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
