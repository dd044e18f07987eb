"""Enter and leave the environment of a rollout: the context manager that ``environment=`` makes for it."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from ec_agent.errors import ConfigError, EnvironmentWarning
from ec_agent.support.plans import Step

Manager = AbstractContextManager[Any] | AbstractAsyncContextManager[Any]
EnvironmentFactory = Callable[[int, Any], Manager]

_current: ContextVar[Any] = ContextVar("ec_agent_environment", default=None)


def get_environment() -> Any:
    """Return the environment of the current rollout; call it in a tool or a node. ``None`` outside a rollout.

    The config has the environment too: ``config["configurable"]["ec_environment"]``.
    """
    return _current.get()


@contextmanager
def in_environment(environment: Any) -> Iterator[None]:
    """Inside the ``with`` block, ``get_environment()`` returns this environment."""
    token = _current.set(environment)
    try:
        yield
    finally:
        _current.reset(token)


class World:
    """One rollout's environment, with the context manager that makes it, entered and left in sync or async runs.

    Args:
        manager: what the function given as ``environment=`` returned.

    Attributes:
        environment: what entering the context manager gave.

    Raises:
        ConfigError: ``manager`` is no context manager.
    """

    def __init__(self, manager: Any) -> None:
        self._asynchronous = hasattr(manager, "__aenter__") and hasattr(manager, "__aexit__")
        self._plain = hasattr(manager, "__enter__") and hasattr(manager, "__exit__")
        if not (self._asynchronous or self._plain):
            if inspect.iscoroutine(manager):
                manager.close()
            raise ConfigError(
                f"environment= gave {type(manager).__name__}, which is no context manager; decorate the function with "
                "contextlib.contextmanager or asynccontextmanager"
            )
        self.environment: Any = None
        self._manager = manager
        self._entering: asyncio.Future[Any] | None = None
        self._host: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._entered = False

    def enter(self) -> Step:
        """Enter the environment."""
        return Step(self._enter, self._aenter)

    def close(self) -> Step:
        """Leave the environment. An error of leaving becomes a warning: the rollout is over, and its result stands."""
        return Step(self._close, self._aclose)

    def _enter(self) -> None:
        if not self._plain:
            raise ConfigError("environment= gave an async context manager; use ainvoke, arun or astream")
        self.environment = self._manager.__enter__()
        self._entered = True

    async def _aenter(self) -> None:
        if self._asynchronous:
            self._entering = asyncio.get_running_loop().create_future()
            # A context manager that opens a task group (an MCP session does) must be left by the asyncio task that
            # entered it. So one task holds it open from beginning to end.
            self._host = asyncio.create_task(self._hold(self._entering))
        else:  # in a thread: a manager that blocks would stop the event loop, and with it the other rollouts
            self._entering = asyncio.ensure_future(asyncio.to_thread(self._enter))
        await asyncio.shield(self._entering)

    async def _hold(self, entering: asyncio.Future[Any]) -> None:
        try:
            async with self._manager as self.environment:
                entering.set_result(None)
                await self._leave.wait()
        except (Exception, asyncio.CancelledError) as error:
            if entering.done():
                raise
            entering.set_exception(error)

    def _close(self) -> None:
        if self._entered:
            self._entered = False
            try:
                self._manager.__exit__(None, None, None)
            except Exception as error:
                _warn(error)

    async def _aclose(self) -> None:
        if self._entering is not None and self._host is None:  # a thread cannot be stopped: wait until it has entered
            await asyncio.wait([self._entering])
        if self._host is None:
            await asyncio.to_thread(self._close)
            return
        self._leave.set()
        if self._entering is not None and not self._entering.done():
            self._host.cancel()
        try:
            await asyncio.shield(self._host)
        except asyncio.CancelledError:
            if not self._host.done():  # this coroutine was cancelled while it waited: cancel the task that holds too
                self._host.cancel()
                await asyncio.wait([self._host])
                raise
        except Exception as error:
            _warn(error)
        if self._entering is not None and self._entering.done():
            self._entering.exception()


def _warn(error: Exception) -> None:
    warnings.warn(
        f"an environment could not be closed: {error!r}; its rollout's result stands. Handle the error in the context "
        "manager given as environment=",
        EnvironmentWarning,
        stacklevel=2,
    )
