"""A sample's own record of its model calls, read as one timeline: for agents that use Inspect's models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from inspect_ai.event import ModelEvent
from inspect_ai.tool import ToolFunction

from ec_agent.capture.shapes import call_of, payload_of_response
from ec_agent.logs.inspect_events import of_the_agent
from ec_agent.numbers.signals import SIGNALS
from ec_agent.numbers.trajectory import Call, Trajectory


def trajectory_of_events(
    events: Iterable[Any], calls: Callable[[ModelEvent], bool] | None = None, messages: Sequence[Any] = ()
) -> Trajectory:
    """The model calls of a sample on one timeline, with every signal.

    Calls that failed are left out, and so are those of judges, in scorers or within the agent: their tokens are not the
    agent's.

    Args:
        events: ``transcript().events`` of a running sample, or ``sample.events`` of a log that was read.
        calls: which of them count, beside: ``lambda event: event.role != "user"`` leaves a simulated user out.
        messages: ``state.messages`` or ``sample.messages``, by which a judge within the agent is told from it where an
            intermediate score follows both.
    """
    own = of_the_agent(events, messages, roles=True)
    return Trajectory([_call(event) for event in own if calls is None or calls(event)])


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
