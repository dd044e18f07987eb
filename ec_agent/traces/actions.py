"""Writes final actions as JSON and reads them. Messages are restored as messages, other objects as plain data."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
from pydantic import BaseModel

_MESSAGE = "__message__"


def action_to_json(action: Any) -> str:
    """Write a final action as JSON text.

    Messages are kept completely. Pydantic models and dataclasses become dicts, tuples and sets become lists, and other
    objects become the text of their ``repr``.
    """
    return json_of(action)


def json_of(value: Any) -> str:
    """Write any value as JSON text that can be read again. Never raises."""
    try:
        text = json.dumps(value, default=_plain)
        json.loads(text)  # Python writes some JSON that it cannot read: very deep nesting, very long numbers
        return text
    except Exception:  # keys that are not strings, a cycle, any error of the value's own repr or model_dump
        return json.dumps(_named(value))


def action_from_json(text: str) -> Any:
    """Read what ``action_to_json`` wrote. Messages are restored; other objects come back as plain data."""
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
    except Exception:  # a dict of the agent that happens to have this key
        return value
