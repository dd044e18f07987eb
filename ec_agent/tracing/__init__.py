"""Rollouts, selection and scores in the tracing tool you have: OpenTelemetry spans, LangSmith metadata and feedback.

    from ec_agent.tracing import instrument

    instrument()                # spans to the global tracer provider, without content
    ...
    uninstrument()

LangSmith needs no call: where its tracing is on, the rollouts' runs get metadata and, after the selection, feedback;
``flush()`` waits until it is sent. docs/tracing.md lists the spans and their attributes.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
