"""Run several plans at once, as LangGraph runs the tasks of one superstep, but without a graph around them.

What callers can see of it is LangGraph's: each plan has a copy of the context, at most ``most`` run at a time, results
come in the order of the plans, and an error ends the others. LangGraph's control flow (``GraphBubbleUp``) is no error:
the others run to their ends before it is raised. ``tests/insides/test_side_by_side.py`` compares both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextvars import copy_context
from typing import Any, TypeVar

from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.errors import GraphBubbleUp

from ec_agent.support.plans import Plan, Step, adrive, drive

T = TypeVar("T")


def side_by_side(plans: Sequence[Plan[T]], most: int) -> Step:
    """Return the step that runs plans at once; its result is the list of theirs.

    Args:
        plans: at least one plan. In a sync run each has a thread of its own; a single one has the caller's.
        most: how many may run at a time.

    Raises:
        BaseException: one of the plans raised it. The others are cancelled; threads stop at their next model or tool
            call, since their executor is left by an exception.
    """
    if len(plans) == 1:
        return Step(lambda: [copy_context().run(drive, plans[0])], lambda: _all([plans[0]], most))
    return Step(lambda: _in_threads(plans, most), lambda: _all(plans, most))


def _in_threads(plans: Sequence[Plan[T]], most: int) -> list[T]:
    with ContextThreadPoolExecutor(max_workers=most) as pool:
        futures = [pool.submit(drive, plan) for plan in plans]
        running: set[Future[T]] = set(futures)
        while running and not any(map(_failed, futures)):
            _, running = wait(running, return_when=FIRST_EXCEPTION)
        for future in running:
            future.cancel()  # those that have not started
        return _results(futures)  # raises inside the block, so that the executor is left by the error


async def _all(plans: Sequence[Plan[T]], most: int) -> list[T]:
    room = asyncio.Semaphore(most) if most < len(plans) else None
    tasks = [asyncio.create_task(_one(plan, room)) for plan in plans]
    running: set[asyncio.Task[T]] = set(tasks)
    try:
        while running and not any(map(_failed, tasks)):
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
    return _results(tasks)


async def _one(plan: Plan[T], room: asyncio.Semaphore | None) -> T:
    if room is None:
        return await adrive(plan)
    async with room:
        return await adrive(plan)


def _failed(run: Future[Any] | asyncio.Task[Any]) -> bool:
    """Whether it has ended by an error, for which the others are not waited for."""
    if not run.done():
        return False
    return run.cancelled() or not isinstance(run.exception(), GraphBubbleUp | None)


def _results(runs: Iterable[Future[T] | asyncio.Task[T]]) -> list[T]:
    """Return the results in order, or raise the first error; one of LangGraph's control flow only without another."""
    ended = [run for run in runs if run.done() and not run.cancelled()]
    errors = [error for run in ended if (error := run.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, GraphBubbleUp)):
        raise error
    return [run.result() for run in runs]  # raises for one that was cancelled by what it called
