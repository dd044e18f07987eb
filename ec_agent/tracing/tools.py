"""Tools as spans: the current span while the tool runs, so that what it does itself is traced beneath it.

LangChain's callbacks could not do that: in an async run they start and end in contexts of their own. So this hears of
the runs of tools themselves (``ec_agent.insides.tool_runs``), from the first ``instrument()`` on, and does nothing
outside a traced question.
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
    """Tools that run inside, in this context and those copied from it, have spans, if they are to have any."""
    token = _tracing.set(settings if settings.tools else None)
    try:
        yield
    finally:
        _tracing.reset(token)


def install_patch() -> None:
    """Put the ear on LangChain's tools, inside the gate of a rollout: a tool that it stops has not run."""
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
    except RolloutStop:  # a tool that it called commits: it is not over, and a span that never ends is not exported
        raise
    except BaseException as error:
        failed(span, error)
        end(span)
        raise
    else:
        end(span)


def _returned(span: Span, result: Any, content: bool) -> None:
    if isinstance(result, ToolMessage) and result.status == "error":  # it handles its errors itself
        fail(span, names.OTHER_ERROR)
    if content:
        tell(span, {names.TOOL_RESULT: as_json(result.content if isinstance(result, ToolMessage) else result)})
