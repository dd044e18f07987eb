"""Reads final actions of rollouts: their text, their tool calls, or their JSON form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Any


def final_answer(action: Any) -> Hashable | None:
    """Turn a final action into something that can be counted. This is the default ``normalize`` of the votes.

    Two answers count as the same only if the results are equal, character by character. If "14.84 pounds" and "14.84"
    shall be one answer, give the vote a ``normalize``, such as ``NumberAnswer()``, or your own function.

    Args:
        action: the final action of a rollout: a message, a structured response, a dict, a string ...

    Returns:
        For a message with tool calls: the names and arguments of the calls as canonical JSON, sorted, without ids. For
        any other message, or a string: its text without surrounding white space. For anything else (a dict, a
        dataclass, a pydantic model, an interrupt by its value): canonical JSON. ``None``, which is no vote, if there
        is no text, or if the action cannot be written as JSON.
    """
    if (calls := calls_of(action)) is not None:
        return "tool calls", json_of(calls)
    if (words := text_of(action)) is not None:
        return ("text", words.strip()) if words.strip() else None
    try:
        return None if action is None else ("value", json_of(action))
    except (TypeError, ValueError, RecursionError):  # it has no JSON form, or contains itself
        return None


def text_of(action: Any) -> str | None:
    """Return the text of a message or of a string; ``None`` for anything else."""
    if isinstance(action, str):
        return action
    if not _is_message(action):
        return None
    content = _part(action, "content")
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = (block if isinstance(block, str) else block.get("text") for block in blocks if block)
    return "".join(text for text in texts if isinstance(text, str))


def calls_of(action: Any) -> list[list[Any]] | None:
    """Return name and arguments of each tool call of a message, sorted; ``None`` if there are none.

    The calls of one message run in parallel, so their order has no meaning.
    """
    calls = _part(action, "tool_calls") if _is_message(action) else None
    return sorted(([call["name"], call["args"]] for call in calls), key=json_of) if calls else None


def json_of(value: Any) -> str:
    """Write a value as JSON with sorted keys.

    Raises:
        TypeError, ValueError, RecursionError: the value has no JSON form.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain)


def _is_message(action: Any) -> bool:
    # Messages are recognised by their attributes, because the selectors may import nothing but NumPy. The messages of
    # a remote graph are dicts.
    if isinstance(action, Mapping):
        return action.get("type") == "ai" and "content" in action
    return hasattr(action, "content") and hasattr(action, "additional_kwargs")


def _part(message: Any, name: str) -> Any:
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)


def _plain(value: Any) -> Any:
    if _is_message(value):
        return final_answer(value)
    if f"{type(value).__module__}.{type(value).__name__}" == "langgraph.types.Interrupt":
        return {"interrupt": value.value}  # without its id, which differs in every rollout
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=json_of)
    raise TypeError(f"{type(value).__name__} has no JSON form")
