"""Final actions as JSON, and back: messages stay messages, everything else becomes plain."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
from pydantic import BaseModel

_MESSAGE = "__message__"


def action_to_json(action: Any) -> str:
    """A final action as JSON.

    Messages are kept whole. Pydantic models and dataclasses become dicts, tuples and sets lists, and what JSON does not
    know the text that ``repr`` gives.
    """
    return json_of(action)


def json_of(value: Any) -> str:
    """Anything as JSON that can be read again; never raises."""
    try:
        text = json.dumps(value, default=_plain)
        json.loads(text)  # what is too deep, or a number too long, can be written and not read
        return text
    except Exception:  # keys that are no strings, a cycle, whatever somebody's ``repr`` or ``model_dump`` raises
        return json.dumps(_named(value))


def action_from_json(text: str) -> Any:
    """The inverse of ``action_to_json``, as far as it goes."""
    return json.loads(text, object_hook=_whole)


def _named(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__qualname__}, which cannot be written out>"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return {_MESSAGE: message_to_dict(value)}
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, np.generic):
        return value.item()
    return _named(value)


def _whole(value: dict[str, Any]) -> Any:
    if value.keys() != {_MESSAGE}:
        return value
    try:
        return messages_from_dict([value[_MESSAGE]])[0]
    except Exception:  # an agent's own dict, with that key
        return value
