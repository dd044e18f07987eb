"""Recognises the messages of saved conversations.

Known are the messages of LangChain (``dumps``, ``messages_to_dict``), OpenAI, pydantic-ai and openai-agents, and the
steps of smolagents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ec_agent.capture.shapes import get, is_ai, plain_message

_ASKING = frozenset({"system", "developer", "user", "human", "tool", "function", "request"})
"""What a message of a conversation calls itself if it is no answer: its role, its type or its kind."""

_SYSTEM = ("system", "developer")
_STEP = ("step_number", "model_output_message")  # of smolagents
LOOKED_AT = 50
"""How many messages are searched for a question. An agent may speak first."""


def is_conversation(value: Any) -> bool:
    """Tell whether a value is a list of messages that has a question in it."""
    return isinstance(value, list) and any(map(_asks, value[:LOOKED_AT])) and all(map(is_message, value))


def begins_again(messages: Sequence[Any]) -> int | None:
    """Return the place of a first message that comes again after an answer, or ``None``.

    Such a list holds several conversations one after the other. Only system messages are looked at: a user may well
    say something twice.
    """
    seen: list[Any] = []
    answered = False
    for place, each in enumerate(map(plain_message, messages)):
        if any(get(each, name) in _SYSTEM for name in ("role", "type")):
            content = get(each, "content")
            if answered and content in seen:
                return place
            seen.append(content)
        answered = answered or (isinstance(each, Mapping) and is_answer(each))
    return None


def is_message(value: Any) -> bool:
    """Tell whether a value is a message, an item or a step of a conversation."""
    message = plain_message(value)
    return isinstance(message, Mapping) and (_asks(message) or is_answer(message))


def _asks(value: Any) -> bool:
    message = plain_message(value)
    if not isinstance(message, Mapping) or "choices" in message:
        return False
    if "task" in message and "task_images" in message:  # the task of a smolagents run
        return True
    said = message.keys() & {"content", "parts", "output", "data"}
    return bool(said) and any(get(message, name) in _ASKING for name in ("role", "type", "kind"))


def is_answer(message: Mapping[str, Any]) -> bool:
    """Tell whether a plain message was written by a model, or is part of an answer."""
    return (
        is_ai(message)
        or message.get("role") == "assistant"
        or (message.get("kind") == "response" and "parts" in message)
        or all(name in message for name in _STEP)
        or message.get("type") in ("function_call", "function_call_output", "reasoning", "message")
    )
