"""Final actions as JSON, and back: messages stay messages, everything else becomes plain."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
from pydantic import BaseModel

_MESSAGE = "__message__"


def action_to_json(action: Any) -> str:
    """A final action as JSON.

    Messages are kept whole. Pydantic models and dataclasses become dicts, tuples and sets lists, and what JSON does not
    know the text that ``repr`` gives.
    """
    try:
        return json.dumps(action, default=_plain)
    except (TypeError, ValueError, RecursionError):  # keys that are no strings, a cycle
        return json.dumps(repr(action))


def action_from_json(text: str) -> Any:
    """The inverse of :func:`action_to_json`, as far as it goes."""
    return json.loads(text, object_hook=_whole)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return {_MESSAGE: message_to_dict(value)}
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return repr(value)


def _whole(value: dict[str, Any]) -> Any:
    return messages_from_dict([value[_MESSAGE]])[0] if value.keys() == {_MESSAGE} else value
