"""What a rollout would do next: the thing that is routed onward."""

from __future__ import annotations

from typing import Any

from ec_agent.rollouts.agents import Writes, update_of
from ec_agent.rollouts.messages import ai_messages


def default_final_action(writes: Writes) -> Any:
    """A new structured response, else the last AI message written, else everything that was written.

    The last AI message may carry tool calls that nobody has executed yet; tool messages that follow it are
    answers to its other calls.
    """
    for key, value in reversed(writes):
        if key == "structured_response" and value is not None:
            return value
    for _, value in reversed(writes):
        if messages := ai_messages(value):
            return messages[-1]
    return update_of(writes)
