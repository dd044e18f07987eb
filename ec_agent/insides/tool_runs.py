"""Where runs of LangChain's tools are seen: one point for all who want to know of them, each in a place of its own.

Every LangChain tool call comes through ``BaseTool.run`` or ``arun``. The patch there asks the listeners in the order of
``PLACES``, whoever was installed first: the gate of a rollout decides whether the tool runs at all, and a span is made
inside it, of a tool that does run. A node that calls ``tool.func`` by itself goes around all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langchain_core.tools import BaseTool
from pydantic import ValidationError

from ec_agent.insides.patching import put_on
from ec_agent.support.plans import Plan, Step, adrive, drive

Place = Literal["gate", "span"]
PLACES: tuple[Place, ...] = get_args(Place)
"""From the outermost inwards."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool that is about to run.

    Attributes:
        tool: which.
        given: its input.
        call_id: id of the tool call that it answers, if any.
    """

    tool: BaseTool
    given: Any
    call_id: str | None


Around = Callable[[ToolRun, Step], Plan[Any] | None]
"""Around a run: a plan that yields the step to run the tool, or what is further in; ``None`` to leave it alone."""

_around: dict[Place, Around] = {}


def refuses(tool: BaseTool, given: Any, call_id: str | None) -> bool:
    """Whether the tool's own schema refuses what it is called with, before it does anything."""
    try:
        tool._parse_input(given, call_id)
    except ValidationError:
        return True
    except Exception:  # the call itself will say what the matter is
        return False
    return False


def hear_tools(place: Place, around: Around) -> None:
    """From now on this one is asked at each run of a tool; it takes the place of one that was there before it."""
    _around[place] = around
    put_on(BaseTool, "run", _heard)
    put_on(BaseTool, "arun", _aheard)


def _heard(run: Any) -> Any:
    @functools.wraps(run)
    def heard_run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        execute = Step(lambda: run(self, tool_input, *args, **kwargs), _unused)
        return _among_all(ToolRun(self, tool_input, kwargs.get("tool_call_id")), execute).sync()

    return heard_run


def _aheard(arun: Any) -> Any:
    @functools.wraps(arun)
    async def heard_arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        execute = Step(_unused, lambda: arun(self, tool_input, *args, **kwargs))
        return await _among_all(ToolRun(self, tool_input, kwargs.get("tool_call_id")), execute).wait()

    return heard_arun


def _among_all(run: ToolRun, execute: Step) -> Step:
    for place in reversed(PLACES):
        if (around := _around.get(place)) is not None:
            execute = _within(around, run, execute)
    return execute


def _within(around: Around, run: ToolRun, execute: Step) -> Step:
    def sync() -> Any:
        plan = around(run, execute)
        return execute.sync() if plan is None else drive(plan)

    async def wait() -> Any:
        plan = around(run, execute)
        return await (execute.wait() if plan is None else adrive(plan))

    return Step(sync, wait)


def _unused() -> Any:
    raise AssertionError("a step taken the other way")
