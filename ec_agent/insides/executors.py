"""Stop the rollouts of a synchronous run when the run ends early, so that nobody waits for work that is not needed.

A run ends early by an exception: ``GeneratorExit`` when its stream is closed, ``KeyboardInterrupt``, or the error of a
node beside it. LangGraph and LangChain run parallel work in executors. The exception first reaches the executor, which
then waits for all its threads before any code of ours can see it. So we patch the executors: each notes that it is
being left, and the rollouts in its threads stop at their next model or tool call.

A context variable tells a rollout which executors it runs in, those of outer graphs included. Every thread inherits
it with the rest of its context.

The patch is installed when ``best_of_n`` is imported, not at its first question: a graph that already runs then has
executors that need it too. ``tests/insides/test_executors_left.py`` guards what this relies on.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.errors import GraphBubbleUp
from langgraph.pregel._executor import BackgroundExecutor

from ec_agent.support.plans import Step

T = TypeVar("T")

_MARK = "_ec_agent_pool"
_LOOKS_UP = 0.05  # seconds
_changed = threading.Condition()


class RolloutLeft(BaseException):
    """Raised in place of a rollout's next model or tool call when the run around it has ended early.

    It derives from ``BaseException``, as ``CancelledError`` does, so that an agent's error handling does not catch it.
    """


class RunLeft(GraphBubbleUp):
    """Ends a question whose run has ended early.

    It derives from ``GraphBubbleUp``, so that LangGraph neither retries the node nor calls an error handler.
    """

    def __init__(self) -> None:
        super().__init__(
            "the run was left while its rollouts ran: its stream was closed, Ctrl-C was pressed, or something beside "
            "it failed. Nothing was chosen; run it again, or, with a checkpointer, go on with invoke(None, config)"
        )


class _Pool:
    """State of one executor: ``left_by`` is the exception it is being left by, while it waits for its threads."""

    __slots__ = ("left_by",)

    def __init__(self) -> None:
        self.left_by: type[BaseException] | None = None


_pools: ContextVar[tuple[_Pool, ...]] = ContextVar("ec_agent_pools", default=())


class Executors:
    """The executors in which a piece of code runs, the innermost first."""

    def __init__(self, pools: tuple[_Pool, ...]) -> None:
        self._pools = pools

    @property
    def left(self) -> bool:
        """Whether one of them is being left by an exception."""
        return any(pool.left_by is not None for pool in self._pools)

    @property
    def interrupted(self) -> bool:
        """Whether one of them is being left because of Ctrl-C."""
        return any(pool.left_by is not None and issubclass(pool.left_by, KeyboardInterrupt) for pool in self._pools)

    def check(self) -> None:
        """Raise if one of them is being left by an exception.

        Raises:
            RunLeft: one of them is.
        """
        if self.left:
            raise RunLeft

    def pause(self, seconds: float, *over: Callable[[], bool]) -> Step:
        """Wait for some seconds, or less if one of them is being left by an exception.

        In a sync run, the wait also ends when a function in ``over`` returns true. They are called again at each
        ``wake()``.
        """
        return Step(lambda: _sleep(self, seconds, *over), lambda: asyncio.sleep(seconds))

    def result_of(self, future: Future[Any]) -> Step:
        """Make a step that waits for another thread's result. The future is cancelled if the wait ends before it.

        Raises:
            RunLeft: one of the executors is being left by an exception; raised by the step in a sync run. Async ones
                are cancelled.
        """

        def sync() -> Any:
            future.add_done_callback(lambda _: wake())
            try:
                with _changed:
                    _changed.wait_for(lambda: self.left or future.done())
                if not future.done():
                    raise RunLeft
                return future.result()
            finally:
                future.cancel()

        async def wait() -> Any:
            return await asyncio.wrap_future(future)

        return Step(sync, wait)

    @contextmanager
    def only_these(self) -> Iterator[None]:
        """Inside the ``with`` block, code runs as if in these executors alone, plus those that are started inside.

        Threads that are started inside inherit that.
        """
        token = _pools.set(self._pools)
        try:
            yield
        finally:
            _pools.reset(token)


def _sleep(executors: Executors, seconds: float, *over: Callable[[], bool]) -> None:
    with _changed:
        _changed.wait_for(lambda: executors.left or any(each() for each in over), timeout=seconds)


def wake() -> None:
    """Let every synchronous ``pause`` check whether it is over."""
    with _changed:
        _changed.notify_all()


def executors_here() -> Executors:
    """Return the executors in which the caller runs."""
    return Executors(_pools.get())


NO_EXECUTORS = Executors(())


def uninterrupted() -> AbstractContextManager[None]:
    """Inside the ``with`` block nothing stops early. An action has begun, and must not be broken off in the middle."""
    return NO_EXECUTORS.only_these()


def interruptible(work: Callable[[], T]) -> T:
    """Run ``work`` so that Ctrl-C takes effect soon, but never breaks off an action in the middle.

    Python raises ``KeyboardInterrupt`` in the main thread only, between two bytecodes. A main thread that waits for
    other threads may not wake up for it, and one that acts would be interrupted in the action. So the work runs in
    another thread, while the main thread waits in short steps.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    with ContextThreadPoolExecutor(max_workers=1, thread_name_prefix="ec_agent-question") as pool:
        future = pool.submit(work)
        while not wait([future], timeout=_LOOKS_UP).done:
            pass
        return future.result()


def _pool_of(executor: Any) -> _Pool:
    pool: _Pool = vars(executor).setdefault(_MARK, _Pool())
    return pool


def _with_pool_in_context(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def started(self: Any, *args: Any, **kwargs: Any) -> Any:
        pool, around = _pool_of(self), _pools.get()
        token = _pools.set(around if pool in around else (pool, *around))
        try:
            return start(self, *args, **kwargs)  # copies the context, with our variable, for the new thread
        finally:
            _pools.reset(token)

    return started


def _noting_how_it_is_left(leave: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(leave)
    def left(self: Any, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> Any:
        if kind is None:
            return leave(self, kind, error, traceback)
        pool = _pool_of(self)
        with _changed:
            pool.left_by = kind
            _changed.notify_all()
        result = leave(self, kind, error, traceback)  # a second Ctrl-C raises here, and left_by stays set
        pool.left_by = None  # all threads have ended: work they started elsewhere is no part of this run
        return result

    return left


def _install() -> None:
    for executor, starting in ((BackgroundExecutor, ("submit",)), (ContextThreadPoolExecutor, ("submit", "map"))):
        if not hasattr(executor.__exit__, "__wrapped__"):
            for name in starting:
                setattr(executor, name, _with_pool_in_context(getattr(executor, name)))
            executor.__exit__ = _noting_how_it_is_left(executor.__exit__)  # type: ignore[method-assign]


_install()
