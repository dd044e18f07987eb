"""Begin spans, set their attributes and end them. A failure in that becomes a warning, and the run goes on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langgraph.errors import GraphBubbleUp
from opentelemetry.trace import NonRecordingSpan, Span, Status, StatusCode, Tracer, get_current_span, use_span

from ec_agent.errors import TraceWarning
from ec_agent.rollouts.observer import told_later
from ec_agent.support.from_plain import text_of
from ec_agent.tracing import attributes as names


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of tracing.

    Attributes:
        tracer: makes the spans.
        content: whether texts of messages and tools go into the spans.
        calls: whether LLM calls have spans.
        tools: whether tools have spans.
        entropies: whether the spans of rollouts carry the entropies of their calls, as events.
    """

    tracer: Tracer
    content: bool
    calls: bool
    tools: bool
    entropies: bool = False

    def begin(self, name: str, attributes: Mapping[str, Any], **more: Any) -> Span:
        """Begin a span. If that fails, return a span that is not recorded, so that callers need no second path."""
        try:
            begun = {"attributes": names.fitting(attributes), "start_time": earlier(), **more}
            return self.tracer.start_span(str(text_of(name)), **begun)
        except Exception as error:
            _warn_once(error)
            return NonRecordingSpan(get_current_span().get_span_context())  # spans beneath it keep their parent


_warned: set[str] = set()


@contextmanager
def harmless() -> Iterator[None]:
    """Inside the ``with`` block, turn errors into warnings: a failing span processor must not cost the user's run."""
    try:
        yield
    except Exception as error:
        _warn_once(error)


def _warn_once(error: Exception) -> None:
    why = f"{type(error).__name__}: {error}"
    if why not in _warned:
        _warned.add(why)
        text = f"tracing failed ({why}), and spans are missing; the run goes on: check the provider's span processors"
        warnings.warn(text, TraceWarning, stacklevel=4)


def warn_again() -> None:
    """Forget which failures were warned of, so that each is warned of again."""
    _warned.clear()


def tell(span: Span, attributes: Mapping[str, Any]) -> None:
    """Set attributes of a span; those that are ``None`` are left out."""
    with harmless():
        span.set_attributes(names.fitting(attributes))


def earlier() -> int | None:
    """When it happened of which an observer is told, in nanoseconds since the epoch; ``None`` if it happens now."""
    when = told_later()
    return None if when is None else round(when * 1e9)


def end(span: Span, when: int | None = None) -> None:
    """End a span: now, or as of the time ``when``, in nanoseconds since the epoch."""
    with harmless():
        span.end(earlier() if when is None else when)


@contextmanager
def entered(span: Span, *, ending: bool = True) -> Iterator[None]:
    """Make a span the current one inside the ``with`` block.

    The type of an error is set on the span. Its text is not, because it may contain content.
    """
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
    """Mark a span as failed by this error. LangGraph's control flow, such as an interrupt, is no failure."""
    if not isinstance(error, GraphBubbleUp | GeneratorExit):
        fail(span, names.error_type(error))


def fail(span: Span, kind: str) -> None:
    """Mark a span as failed by an error of this kind."""
    with harmless():
        span.set_status(Status(StatusCode.ERROR))
    tell(span, {names.ERROR: kind})
