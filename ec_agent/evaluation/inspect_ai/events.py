"""A sample's own record of its model calls, read as one timeline: for agents that use Inspect's models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from inspect_ai.event import ModelEvent, SpanBeginEvent
from inspect_ai.tool import ToolFunction

from ec_agent.capture.shapes import call_of, payload_of_response
from ec_agent.signals import SIGNALS
from ec_agent.trajectory import Call, Trajectory


def trajectory_of_events(events: Iterable[Any], calls: Callable[[ModelEvent], bool] | None = None) -> Trajectory:
    """The model calls of a sample on one timeline, with every signal.

    Calls that failed are left out, and so are those made by scorers: a judge's tokens are not the agent's.

    Args:
        events: ``transcript().events`` of a running sample, or ``sample.events`` of a log that was read.
        calls: which of them count, beside: ``lambda event: event.role != "user"`` leaves a simulated user out.
    """
    judging: set[str] = set()
    found: list[Call] = []
    for event in events:
        if isinstance(event, SpanBeginEvent) and (event.name == "scorers" or event.parent_id in judging):
            judging.add(event.id)
        if not isinstance(event, ModelEvent) or event.span_id in judging or event.pending or event.error is not None:
            continue
        if event.output.choices and (calls is None or calls(event)):
            found.append(_call(event))
    return Trajectory(found)


def _call(event: ModelEvent) -> Call:
    payload = payload_of_response(event.output)
    held = event.config.response_schema is not None or isinstance(event.tool_choice, ToolFunction)
    return call_of(
        replace(payload, top_k=event.config.top_logprobs, constrained=held),
        tuple(SIGNALS),
        model=event.model,
        started=event.timestamp.timestamp(),
        ended=event.completed.timestamp() if event.completed else None,
    )
