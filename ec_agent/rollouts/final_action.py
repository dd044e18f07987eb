"""Read a rollout's final action, that is, what it would do next, from its writes."""

from __future__ import annotations

from typing import Any

from ec_agent.rollouts.agents import Writes, update_of
from ec_agent.rollouts.messages import ai_messages


def default_final_action(writes: Writes) -> Any:
    """Return the structured response if there is a new one, else the last AI message, else everything written.

    The last AI message may have tool calls that are not executed yet. Tool messages after it answer its other calls.
    """
    for key, value in reversed(writes):
        if key == "structured_response" and value is not None:
            return value
    for _, value in reversed(writes):
        if messages := ai_messages(value):
            return messages[-1]
    return update_of(writes)
