"""Show questions, rollouts and scores in your tracing tool, as OpenTelemetry spans or as LangSmith feedback.

    from ec_agent.tracing import instrument

    instrument()                # spans to the global tracer provider, without content
    ...
    uninstrument()

LangSmith needs no call: where its tracing is on, each rollout's run gets metadata, and feedback after the selection.
``flush()`` waits until the feedback is sent. docs/tracing.md lists the spans and their attributes.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
