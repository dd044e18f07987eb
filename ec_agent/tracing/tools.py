"""Tools as spans: the current span while the tool runs, so that what it does itself is traced beneath it.

LangChain's callbacks could not do that: in an async run they start and end in contexts of their own. Every LangChain
tool comes through ``BaseTool.run`` or ``arun``; the patch is installed with the first ``instrument()`` and does nothing
outside a traced question.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from opentelemetry.trace import Span, Status, StatusCode, use_span

from ec_agent.commits.gate import RolloutStop
from ec_agent.tracing import attributes as names
from ec_agent.tracing.messages import as_json
from ec_agent.tracing.spans import Settings, failed

_tracing: ContextVar[Settings | None] = ContextVar("ec_agent_traced_tools", default=None)
_patch_lock = threading.Lock()
_patched = False


@contextmanager
def tools_traced(settings: Settings) -> Iterator[None]:
    """Tools that run inside, in this context and those copied from it, have spans, if they are to have any."""
    token = _tracing.set(settings if settings.tools else None)
    try:
        yield
    finally:
        _tracing.reset(token)


def install_patch() -> None:
    """Put the ear on LangChain's tools, once per process."""
    global _patched
    with _patch_lock:
        if _patched:
            return
        run, arun = BaseTool.run, BaseTool.arun

        @functools.wraps(run)
        def traced_run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
            with _span(self, tool_input, kwargs.get("tool_call_id")) as returned:
                return returned(run(self, tool_input, *args, **kwargs))

        @functools.wraps(arun)
        async def traced_arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
            with _span(self, tool_input, kwargs.get("tool_call_id")) as returned:
                return returned(await arun(self, tool_input, *args, **kwargs))

        BaseTool.run = traced_run  # type: ignore[method-assign]
        BaseTool.arun = traced_arun  # type: ignore[method-assign]
        _patched = True


def _span(tool: BaseTool, given: Any, call_id: str | None) -> AbstractContextManager[Callable[[Any], Any]]:
    settings = _tracing.get()
    return nullcontext(_same) if settings is None else _around(settings, tool, given, call_id)


@contextmanager
def _around(settings: Settings, tool: BaseTool, given: Any, call_id: str | None) -> Iterator[Callable[[Any], Any]]:
    attributes = {
        names.OPERATION: "execute_tool",
        names.TOOL: tool.name,
        names.TOOL_TYPE: "function",
        names.TOOL_CALL: call_id,
        names.TOOL_ARGUMENTS: as_json(given) if settings.content else None,
    }
    span = settings.tracer.start_span(f"execute_tool {tool.name}", attributes=names.present(attributes))

    def returned(result: Any) -> Any:
        _returned(span, result, settings.content)
        return result

    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield returned
    except RolloutStop:  # the gate was before it: the tool did not run, and a span that never ends is not exported
        raise
    except BaseException as error:
        failed(span, error)
        span.end()
        raise
    else:
        span.end()


def _returned(span: Span, result: Any, content: bool) -> None:
    if isinstance(result, ToolMessage) and result.status == "error":  # it handles its errors itself
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute(names.ERROR, names.OTHER_ERROR)
    if content:
        span.set_attribute(names.TOOL_RESULT, as_json(result.content if isinstance(result, ToolMessage) else result))


def _same(result: Any) -> Any:
    return result
