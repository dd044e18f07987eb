"""One text for sync and async: a generator yields its steps, and a driver takes them one way or the other.

    def moved(saver, thread):
        found = yield call(saver, "get_tuple", thread)      # saver.get_tuple(...) or await saver.aget_tuple(...)
        ...
        return found

    drive(moved(saver, thread))            # or: await adrive(moved(saver, thread))

The body of a plan runs in its driver's own thread or task, so context variables hold across its steps.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from ec_agent.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done: ``sync()``, or ``await wait()``."""

    sync: Callable[[], Any]
    wait: Callable[[], Awaitable[Any]]


Plan = Generator[Step, Any, T]


def call(target: Any, name: str, *args: Any, **kwargs: Any) -> Step:
    """``target.name(...)``, whose async twin is ``target.aname(...)``."""
    return Step(
        lambda: getattr(target, name)(*args, **kwargs),
        lambda: getattr(target, f"a{name}")(*args, **kwargs),
    )


def hook(func: Callable[..., Any], *args: Any) -> Step:
    """A user's function, which may be a coroutine function in an async run.

    Raises:
        ConfigError: it is one in a sync run.
    """

    def sync() -> Any:
        result = func(*args)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise ConfigError(f"{getattr(func, '__name__', func)} is async; use ainvoke, arun or astream")
        return result

    async def wait() -> Any:
        result = func(*args)
        return await result if inspect.isawaitable(result) else result

    return Step(sync, wait)


def pause(seconds: float) -> Step:
    """A wait."""
    return Step(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))


def drive(plan: Plan[T]) -> T:
    """Take the steps of a plan synchronously."""

    async def now(step: Step) -> Any:
        return step.sync()

    try:
        _taken(plan, now).send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("a synchronous step waits for nothing")


async def adrive(plan: Plan[T]) -> T:
    """Take the steps of a plan on the event loop."""
    return await _taken(plan, lambda step: step.wait())


async def _taken(plan: Plan[T], take: Callable[[Step], Awaitable[Any]]) -> T:
    try:
        step = next(plan)
        while True:
            try:
                value = await take(step)
            except BaseException as error:
                step = plan.throw(error)
            else:
                step = plan.send(value)
    except StopIteration as done:
        result: T = done.value
        return result
