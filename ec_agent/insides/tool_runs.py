"""The one patch of LangChain's tools. The gate of a rollout and the tracing of tools both hook in here.

Every LangChain tool call goes through ``BaseTool.run`` or ``arun``. The patch calls the hooks in the order of
``PLACES``, in whatever order they were installed: the gate decides whether the tool runs at all, and the span inside
it is made only for a tool that runs. A node that calls ``tool.func`` directly avoids the patch, and so both hooks.

``tests/insides/test_tool_runs.py`` guards this.
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
"""The places for hooks, the outermost first."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool that is about to run.

    Attributes:
        tool: the tool.
        given: its input.
        call_id: id of the model's tool call that it answers; ``None`` if no model asked for it.
    """

    tool: BaseTool
    given: Any
    call_id: str | None


Hook = Callable[[ToolRun, Step], Plan[Any] | None]
"""Gets a run and the step that executes it (with the hooks further in). Returns a plan that yields the step to run the
tool; or ``None``, and the tool just runs."""

_hooks: dict[Place, Hook] = {}


def refuses(tool: BaseTool, given: Any, call_id: str | None) -> bool:
    """Whether the tool's own schema refuses its input, so that the tool does nothing."""
    try:
        tool._parse_input(given, call_id)
    except ValidationError:
        return True
    except Exception:  # another fault, which the call itself will raise
        return False
    return False


def hook_tools(place: Place, hook: Hook) -> None:
    """Call this hook at each run of a tool from now on. It replaces an earlier hook at the same place."""
    _hooks[place] = hook
    put_on(BaseTool, {"run": _hooked, "arun": _ahooked})


def _hooked(run: Any) -> Any:
    @functools.wraps(run)
    def hooked_run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        execute = Step(lambda: run(self, tool_input, *args, **kwargs), _unused)
        return _with_hooks(ToolRun(self, tool_input, kwargs.get("tool_call_id")), execute).sync()

    return hooked_run


def _ahooked(arun: Any) -> Any:
    @functools.wraps(arun)
    async def hooked_arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        execute = Step(_unused, lambda: arun(self, tool_input, *args, **kwargs))
        return await _with_hooks(ToolRun(self, tool_input, kwargs.get("tool_call_id")), execute).wait()

    return hooked_arun


def _with_hooks(run: ToolRun, execute: Step) -> Step:
    for place in reversed(PLACES):  # the innermost first, so that the outermost wraps all others
        if (hook := _hooks.get(place)) is not None:
            execute = _with_hook(hook, run, execute)
    return execute


def _with_hook(hook: Hook, run: ToolRun, execute: Step) -> Step:
    def sync() -> Any:
        plan = hook(run, execute)
        return execute.sync() if plan is None else drive(plan)

    async def wait() -> Any:
        plan = hook(run, execute)
        return await (execute.wait() if plan is None else adrive(plan))

    return Step(sync, wait)


def _unused() -> Any:
    raise AssertionError("a sync tool run was awaited, or an async one was called")
