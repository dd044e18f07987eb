"""A rollout's final action, that is, what it would do next: read from its writes, and written in one line."""

from __future__ import annotations

import json
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


def in_one_line(action: Any) -> str:
    """Return a final action as one line of text: its tool calls if it has any, else its content."""
    calls = getattr(action, "tool_calls", None)
    if calls:
        return "; ".join(f"{call['name']}({json.dumps(call['args'])})" for call in calls)
    content = getattr(action, "content", action)
    return " ".join(str(content).split())
