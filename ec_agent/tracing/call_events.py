"""The calls of a rollout as events of its span, so that a collector's export can be scored again (``logs/otel``).

They are those of the rollout's record, not of the calls' own spans: a rollout may have calls that nobody heard, and of
several answers to one request only that counts which the agent went on with.

An event has the plain fields of ``Call``, and each signal as a list of numbers, without its gaps. The places of the
gaps are a list of their own: NaN has no form in JSON on which all collectors agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from opentelemetry.trace import Span

from ec_agent.numbers.call_fields import PLAIN_FIELDS
from ec_agent.numbers.signals import ENTROPY
from ec_agent.tracing import attributes as names
from ec_agent.tracing.spans import harmless

NUMBER = "ec_agent.call.number"
FIELD = "ec_agent.call."
SIGNAL = "ec_agent.call.signal."
GAPS = "ec_agent.call.gaps."


def add_calls(span: Span, calls: Sequence[Mapping[str, Any]]) -> None:
    """Add an event for each call.

    Args:
        span: the rollout's span, still open.
        calls: the calls as the record has them (``pack_calls``).
    """
    for number, call in enumerate(calls):
        with harmless():
            started = call["started"]
            when = None if started is None else int(started * 1e9)
            span.add_event(names.CALL, names.fitting(_told(number, call)), timestamp=when)


def _told(number: int, call: Mapping[str, Any]) -> dict[str, Any]:
    told = {NUMBER: number, **{FIELD + each.name: call[each.name] for each in PLAIN_FIELDS}}
    for name, packed in {ENTROPY: call["entropies"], **call["signals"]}.items():
        values = np.frombuffer(packed)
        gaps = np.isnan(values)
        told |= {SIGNAL + name: values[~gaps].tolist(), GAPS + name: np.flatnonzero(gaps).tolist()}
    return told
