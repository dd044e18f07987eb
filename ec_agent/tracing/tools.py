"""Make spans for tools. While a tool runs, its span is the current one, so that spans of what it does go beneath it.

LangChain's callbacks could not do that: in an async run a tool's start and end are reported in different contexts. So
the first ``instrument()`` installs a hook around tool runs (``ec_agent.insides.tool_runs``). Outside a traced question
the hook does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.messages import ToolMessage
from opentelemetry.trace import Span, use_span

from ec_agent.commits.gate import RolloutStop
from ec_agent.insides.tool_runs import ToolRun, hook_tools
from ec_agent.support.plans import Plan, Step
from ec_agent.tracing import attributes as names
from ec_agent.tracing.messages import as_json
from ec_agent.tracing.spans import Settings, end, fail, failed, harmless, tell

_tracing: ContextVar[Settings | None] = ContextVar("ec_agent_traced_tools", default=None)


@contextmanager
def tools_traced(settings: Settings) -> Iterator[None]:
    """Inside the ``with`` block, make spans for tools in this context and in copies of it, if tools are traced."""
    token = _tracing.set(settings if settings.tools else None)
    try:
        yield
    finally:
        _tracing.reset(token)


def install_patch() -> None:
    """Hook into LangChain's tool runs, inside the rollouts' gate: a tool that the gate stops gets no span."""
    hook_tools("span", _span)


def _span(run: ToolRun, execute: Step) -> Plan[Any] | None:
    settings = _tracing.get()
    return None if settings is None else _spanned(settings, run, execute)


def _spanned(settings: Settings, run: ToolRun, execute: Step) -> Plan[Any]:
    with _around(settings, run) as returned:
        return returned((yield execute))


@contextmanager
def _around(settings: Settings, run: ToolRun) -> Iterator[Callable[[Any], Any]]:
    attributes = {
        names.OPERATION: "execute_tool",
        names.TOOL: run.tool.name,
        names.TOOL_TYPE: "function",
        names.TOOL_CALL: run.call_id,
        names.TOOL_ARGUMENTS: as_json(run.given) if settings.content else None,
    }
    span = settings.begin(f"execute_tool {run.tool.name}", attributes)

    def returned(result: Any) -> Any:
        with harmless():
            _returned(span, result, settings.content)
        return result

    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield returned
    except RolloutStop:  # a tool that this one called commits, so this one is not over: leave its span out
        raise
    except BaseException as error:
        failed(span, error)
        end(span)
        raise
    else:
        end(span)


def _returned(span: Span, result: Any, content: bool) -> None:
    if isinstance(result, ToolMessage) and result.status == "error":  # the tool has handled its own error
        fail(span, names.OTHER_ERROR)
    if content:
        tell(span, {names.TOOL_RESULT: as_json(result.content if isinstance(result, ToolMessage) else result)})
