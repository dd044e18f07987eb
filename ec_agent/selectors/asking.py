"""Has a selector rank candidates, in sync and in async runs, where it may be async or ask a model."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.selectors.base import AnySelector, AsyncSelector, Candidate, has_sync_form, is_async
from ec_agent.selectors.registry import SELECTORS
from ec_agent.support.loop import on_loop, run_to_its_end
from ec_agent.support.plans import Step


def is_ready(selector: Any) -> bool:
    """Tell whether it is one of the package's own selectors, which ask nobody and are done at once."""
    return type(selector) in SELECTORS.values()


def allowed_here(selector: AnySelector) -> Step:
    """Make a step that fails if the selector cannot rank in this run. Take it before rollouts are paid for.

    Raises:
        ConfigError: when the step is taken in a sync run on the thread of an event loop, and the selector is only
            async: the loop would have to wait for itself.
    """

    def sync() -> None:
        if not has_sync_form(selector) and on_loop():
            raise ConfigError(
                f"selector {selector.name!r} is async, and the run is sync on the thread of an event loop, which would "
                "have to wait for itself; use ainvoke, arun or astream"
            )

    return Step(sync, _nothing)


async def _nothing() -> None:
    pass


def selecting(selector: Any, candidates: Sequence[Candidate]) -> Step:
    """Make a step that has the selector rank the candidates.

    In an async run, ``aselect`` is awaited. A selector without it runs in a thread, because it may ask a model, and
    would block the event loop; only the package's own, which ask nobody, run at once. In a sync run, ``select`` is
    called; a selector that is only async is waited for in an event loop of its own.

    Raises:
        ConfigError: when the step is taken, as ``allowed_here``.
    """

    def sync() -> Any:
        if has_sync_form(selector):
            ranking = selector.select(candidates)
        else:
            allowed_here(selector).sync()
            ranking = _async_form(selector)(candidates)
        return run_to_its_end(_awaited(ranking)) if inspect.isawaitable(ranking) else ranking

    async def wait() -> Any:
        if is_async(selector):
            return await _async_form(selector)(candidates)
        if is_ready(selector):
            return selector.select(candidates)
        ranking = await asyncio.to_thread(selector.select, candidates)
        return await ranking if inspect.isawaitable(ranking) else ranking

    return Step(sync, wait)


def _async_form(selector: Any) -> Any:
    return selector.aselect if isinstance(selector, AsyncSelector) else selector.select


async def _awaited(ranking: Awaitable[Any]) -> Any:
    return await ranking
