"""What is traced, and how spans are made and told: whatever fails in that, the run goes on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langgraph.errors import GraphBubbleUp
from opentelemetry.trace import NonRecordingSpan, Span, Status, StatusCode, Tracer, get_current_span, use_span

from ec_agent.errors import TraceWarning
from ec_agent.support.plain import text_of
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

    def begin(self, name: str, attributes: Mapping[str, Any], **more: Any) -> Span:
        """A span begins; where none can be made, one that is not recorded stands in its place."""
        try:
            return self.tracer.start_span(str(text_of(name)), attributes=names.fitting(attributes), **more)
        except Exception as error:
            _tell_of(error)
            return NonRecordingSpan(get_current_span().get_span_context())


_told: set[str] = set()


@contextmanager
def harmless() -> Iterator[None]:
    """What fails while spans are made or told something, a processor of the user's say, is not the run's business."""
    try:
        yield
    except Exception as error:
        _tell_of(error)


def _tell_of(error: Exception) -> None:
    why = f"{type(error).__name__}: {error}"
    if why not in _told:
        _told.add(why)
        told = f"tracing failed ({why}), and spans are missing; the run goes on: see to the provider's processors"
        warnings.warn(told, TraceWarning, stacklevel=4)


def heard_anew() -> None:
    """From now on failures that were told of are told again."""
    _told.clear()


def tell(span: Span, attributes: Mapping[str, Any]) -> None:
    """Give a span attributes."""
    with harmless():
        span.set_attributes(names.fitting(attributes))


def end(span: Span, when: int | None = None) -> None:
    """End a span, now or at that time."""
    with harmless():
        span.end(when)


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
            end(span)


def failed(span: Span, error: BaseException) -> None:
    """Note an error; an interrupt and other control flow is none."""
    if not isinstance(error, GraphBubbleUp | GeneratorExit):
        fail(span, names.error_type(error))


def fail(span: Span, kind: str) -> None:
    """Note an error of that kind."""
    with harmless():
        span.set_status(Status(StatusCode.ERROR))
    tell(span, {names.ERROR: kind})
