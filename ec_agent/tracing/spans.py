"""What is traced, and how a span is made the current one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from langgraph.errors import GraphBubbleUp
from opentelemetry.trace import Span, Status, StatusCode, Tracer, use_span

from ec_agent.tracing import attributes as names


@dataclass(frozen=True, slots=True)
class Settings:
    """What is traced.

    Attributes:
        tracer: who makes the spans.
        content: whether texts go into them.
        calls: whether LLM calls have spans of their own.
        tools: whether tools have.
    """

    tracer: Tracer
    content: bool
    calls: bool
    tools: bool


@contextmanager
def entered(span: Span, *, ending: bool = True) -> Iterator[None]:
    """The span is the current one; an error is noted, without its text, which may be content."""
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        failed(span, error)
        raise
    finally:
        if ending:
            span.end()


def failed(span: Span, error: BaseException) -> None:
    """Note an error; an interrupt and other control flow is none."""
    if not isinstance(error, GraphBubbleUp | GeneratorExit):
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute(names.ERROR, names.error_type(error))
