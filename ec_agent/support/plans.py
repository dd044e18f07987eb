"""Lets one function serve sync and async callers. It is a generator (a *plan*) that yields steps to a driver.

    def moved(saver, thread):
        found = yield call(saver, "get_tuple", thread)      # saver.get_tuple(...) or await saver.aget_tuple(...)
        ...
        return found

    drive(moved(saver, thread))            # or: await adrive(moved(saver, thread))

The driver runs each step, sync or async, and sends the result back into the plan. The plan runs in the thread or task
of its driver, so context variables keep their values from step to step.
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
    """One step of a plan: the driver calls ``sync()``, or awaits ``wait()``."""

    sync: Callable[[], Any]
    wait: Callable[[], Awaitable[Any]]


Plan = Generator[Step, Any, T]


def call(target: Any, name: str, *args: Any, **kwargs: Any) -> Step:
    """Make a step that calls ``target.name(...)``, or awaits its async form, ``target.aname(...)``."""
    return Step(
        lambda: getattr(target, name)(*args, **kwargs),
        lambda: getattr(target, f"a{name}")(*args, **kwargs),
    )


def hook(func: Callable[..., Any], *args: Any) -> Step:
    """Make a step that calls a user's function. In an async run, it may be a coroutine function.

    Raises:
        ConfigError: when the step is taken in a sync run, and the function is a coroutine function.
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
    """Make a step that waits for some seconds."""
    return Step(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))


def drive(plan: Plan[T]) -> T:
    """Run a plan synchronously, and return its result."""

    async def now(step: Step) -> Any:
        return step.sync()

    try:
        _taken(plan, now).send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("a synchronous step waits for nothing")


async def adrive(plan: Plan[T]) -> T:
    """Run a plan on the event loop, and return its result."""
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
