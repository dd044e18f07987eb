"""Switch tracing with OpenTelemetry on and off."""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ec_agent.errors import ConfigError
from ec_agent.rollouts.observing import observe_everywhere
from ec_agent.support.checks import one_of, or_none, refusal
from ec_agent.support.extras import installing

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def instrument(
    tracer_provider: TracerProvider | None = None,
    *,
    content: bool | None = None,
    calls: bool = True,
    tools: bool = True,
    entropies: bool = False,
) -> None:
    """Make OpenTelemetry spans for every question that ``best_of_n`` runs from now on.

    A second call replaces the first.

    Args:
        tracer_provider: where the spans go; the global provider by default.
        content: whether the texts of prompts, answers, tool calls and results go into the spans. By default the
            environment variable ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` decides: they do if it is
            ``true``, ``span_only`` or ``span_and_event``, and do not otherwise.
        calls: whether LLM calls have spans. Give ``False`` where another instrumentation, such as one of ``openai``,
            makes spans for them.
        tools: whether tools have spans.
        entropies: whether each rollout's span has an event ``ec_agent.call`` for each of its LLM calls, with one number
            a token (8 bytes). ``ec-agent score`` reads them from a collector's export. The OpenTelemetry SDK keeps 128
            events a span; set ``OTEL_SPAN_EVENT_COUNT_LIMIT`` for rollouts with more calls.

    Raises:
        ConfigError: an argument has a value that is not allowed, or ``opentelemetry-api`` is not installed.
    """
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        raise ConfigError(f"instrument() needs opentelemetry-api; run: {installing('ec-agent[otel]')}")
    or_none("content", content, one_of, (True, False), "True or False")
    one_of("calls", calls, (True, False), "True or False")
    one_of("tools", tools, (True, False), "True or False")
    one_of("entropies", entropies, (True, False), "True or False")
    if tracer_provider is not None and (
        isinstance(tracer_provider, type) or not callable(getattr(tracer_provider, "get_tracer", None))
    ):
        raise refusal("tracer_provider", tracer_provider, "a TracerProvider, or leave it out")
    from opentelemetry.trace import get_tracer

    from ec_agent import __version__
    from ec_agent.tracing.questions import SpanObserver
    from ec_agent.tracing.spans import Settings, warn_again
    from ec_agent.tracing.tools import install_patch

    install_patch()
    warn_again()
    tracer = get_tracer("ec_agent", __version__, tracer_provider)
    settings = Settings(tracer, _content_asked() if content is None else content, calls, tools, entropies)
    observe_everywhere("tracing", partial(SpanObserver, settings))


def uninstrument() -> None:
    """Make no spans for new questions. Questions that are running keep their spans to the end."""
    observe_everywhere("tracing", None)


def _content_asked() -> bool:
    # "event_only" is not among them: it asks for content in log events, and we send none.
    return os.environ.get(CONTENT, "").strip().lower() in ("true", "span_only", "span_and_event")
