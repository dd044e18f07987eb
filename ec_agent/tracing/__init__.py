"""Rollouts, selection and scores in the tracing tool you have: OpenTelemetry spans, LangSmith metadata and feedback.

    from ec_agent.tracing import instrument

    instrument()                # spans to the global tracer provider, without content
    ...
    uninstrument()

LangSmith needs no call: where its tracing is on, the rollouts' runs get metadata and, after the selection, feedback;
``flush()`` waits until it is sent. docs/tracing.md lists the spans and their attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ec_agent.support.lazy import lazy_names

if TYPE_CHECKING:
    from ec_agent.tracing.feedback import flush as flush
    from ec_agent.tracing.switch import instrument as instrument
    from ec_agent.tracing.switch import uninstrument as uninstrument

_HOME_OF = {"flush": "feedback", "instrument": "switch", "uninstrument": "switch"}

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
