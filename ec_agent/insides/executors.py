"""Whoever leaves a synchronous run early is not kept waiting: its rollouts stop at their next model or tool call.

A run is left by an exception: ``GeneratorExit`` where its stream is closed, ``KeyboardInterrupt``, an error of a node
beside it. No code of ours is told of that in time: LangGraph and LangChain run what goes on side by side in executors,
and an executor that is left waits for its threads before anybody hears of the exception. So it is the executor that we
have to hear from, when it begins to wait. A context variable leads from a rollout to the executors around it, those of
a graph around the graph among them; every thread that is started gets it with the rest of its context.

The patch is put in when ``best_of_n`` is imported, since graphs that run at its first question count too.
``tests/test_executors_left.py`` guards what we rely on.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
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
    """Raised in place of a call of a rollout that nobody waits for.

    No ``Exception``, as a cancellation is none: nothing in an agent that handles errors has to do with it.
    """


class RunLeft(GraphBubbleUp):
    """Ends a question whose run was left. LangGraph takes it for control flow: no retry, no error handler."""

    def __init__(self) -> None:
        super().__init__(
            "the run was left while its rollouts ran: its stream was closed, Ctrl-C was pressed, or something beside "
            "it failed. Nothing was chosen; run it again, or, with a checkpointer, go on with invoke(None, config)"
        )


class _Pool:
    """One executor: by what it is being left, while it waits for its threads."""

    __slots__ = ("left_by",)

    def __init__(self) -> None:
        self.left_by: type[BaseException] | None = None


_pools: ContextVar[tuple[_Pool, ...]] = ContextVar("ec_agent_pools", default=())


class Around:
    """The executors around a place in the code."""

    def __init__(self, pools: tuple[_Pool, ...]) -> None:
        self._pools = pools

    @property
    def left(self) -> bool:
        """Whether one of them is being left."""
        return any(pool.left_by is not None for pool in self._pools)

    @property
    def interrupted(self) -> bool:
        """Whether one of them is being left because of Ctrl-C."""
        return any(pool.left_by is not None and issubclass(pool.left_by, KeyboardInterrupt) for pool in self._pools)

    def check(self) -> None:
        """Go no further if one of them is being left.

        Raises:
            RunLeft: one is.
        """
        if self.left:
            raise RunLeft

    def pause(self, seconds: float) -> Step:
        """A wait that is over when one of them is being left."""
        return Step(lambda: _sleep(self, seconds), lambda: asyncio.sleep(seconds))

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside, and in threads started inside, these executors and those inside count, and no others."""
        token = _pools.set(self._pools)
        try:
            yield
        finally:
            _pools.reset(token)


def _sleep(around: Around, seconds: float) -> None:
    with _changed:
        _changed.wait_for(lambda: around.left, timeout=seconds)


def around_here() -> Around:
    """The executors around this place."""
    return Around(_pools.get())


NOBODY = Around(())


def carried_out_whole() -> AbstractContextManager[None]:
    """Inside nothing stops because somebody leaves: an action is under way."""
    return NOBODY.heeded()


def attended(work: Callable[[], T]) -> T:
    """Do something long so that Ctrl-C is heard, and breaks off no action in the middle.

    Python tells the main thread alone of it, between two steps of its own. If it waits for other threads it may not
    wake up for that, and if it acts it is torn out of the action. So it has the work done, and looks up now and then.
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


def _leading_here(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def started(self: Any, *args: Any, **kwargs: Any) -> Any:
        pool, around = _pool_of(self), _pools.get()
        token = _pools.set(around if pool in around else (pool, *around))
        try:
            return start(self, *args, **kwargs)  # copies the context for the thread
        finally:
            _pools.reset(token)

    return started


def _telling(leave: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(leave)
    def left(self: Any, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> Any:
        if kind is None:
            return leave(self, kind, error, traceback)
        pool = _pool_of(self)
        with _changed:
            pool.left_by = kind
            _changed.notify_all()
        result = leave(self, kind, error, traceback)  # a second Ctrl-C ends this wait, and the mark stays
        pool.left_by = None  # its threads have ended; what they left running for good is no part of the run
        return result

    return left


def _install() -> None:
    for executor, starting in ((BackgroundExecutor, ("submit",)), (ContextThreadPoolExecutor, ("submit", "map"))):
        if not hasattr(executor.__exit__, "__wrapped__"):
            for name in starting:
                setattr(executor, name, _leading_here(getattr(executor, name)))
            executor.__exit__ = _telling(executor.__exit__)  # type: ignore[method-assign]


_install()
