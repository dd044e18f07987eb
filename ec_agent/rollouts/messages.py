"""What happens to messages and state on their way in and out of a rollout. Nothing here mutates its input."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import warnings
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langgraph.types import Command, Overwrite, Send
from pydantic import BaseModel

from ec_agent.errors import IsolationWarning

LOGPROBS = "logprobs"


def state_values(state: Any) -> dict[str, Any] | None:
    """A state of any schema (dict, pydantic, dataclass) by key; ``None`` for anything else."""
    if isinstance(state, Mapping):
        return dict(state)
    if isinstance(state, BaseModel):
        return {name: getattr(state, name) for name in type(state).model_fields}
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return None


def private_copy(value: Any, name: str = "the input") -> Any:
    """A deep copy, so that no rollout sees what another does to its input.

    What cannot be copied (an open connection, a lock) is shared, with an ``IsolationWarning``.
    """
    try:
        return copy.deepcopy(value)
    except Exception as error:
        if isinstance(value, dict):
            return {key: private_copy(item, f"{name}[{key!r}]") for key, item in value.items()}
        warnings.warn(
            f"{name} cannot be copied ({error}), so all rollouts share it; keep such objects out of the "
            "state, in the run's context",
            IsolationWarning,
            stacklevel=2,
        )
        return value


def rebuilt(value: Any, change: Any) -> Any:
    """``value`` with ``change`` applied to every message in it, copying only what changes."""
    if isinstance(value, BaseMessage) or _is_message_dict(value):
        return change(value)
    if isinstance(value, list):
        return [rebuilt(item, change) for item in value]
    if type(value) is tuple:
        return tuple(rebuilt(item, change) for item in value)
    if type(value) is dict:
        return {key: rebuilt(item, change) for key, item in value.items()}
    if isinstance(value, Overwrite):
        return Overwrite(rebuilt(value.value, change))
    if isinstance(value, Send):
        return Send(value.node, rebuilt(value.arg, change), timeout=value.timeout)
    if isinstance(value, Command):
        return dataclasses.replace(value, update=rebuilt(value.update, change), goto=rebuilt(value.goto, change))
    return value


def _is_message_dict(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("response_metadata"), dict)


def without_logprobs(message: Any) -> Any:
    """The message less the logprobs in its metadata; a copy where there were any: a cache may hold it."""
    metadata = message["response_metadata"] if isinstance(message, dict) else message.response_metadata
    if LOGPROBS not in metadata:
        return message
    bare = {key: value for key, value in metadata.items() if key != LOGPROBS}
    if isinstance(message, dict):
        return {**message, "response_metadata": bare}
    return message.model_copy(update={"response_metadata": bare})


def with_id(message: Any) -> Any:
    """The message with an id: one that is replayed or resumed must stay the same message."""
    if isinstance(message, BaseMessage) and message.id is None:
        return message.model_copy(update={"id": str(uuid4())})
    return message


def messages_in(value: Any) -> list[Any]:
    """Every message in a value, in order: objects, or the dicts a ``RemoteGraph`` returns."""
    found: list[Any] = []

    def note(message: Any) -> Any:
        found.append(message)
        return message

    rebuilt(value, note)
    return found


def ai_messages(value: Any) -> list[Any]:
    """The AI messages among them."""
    return [
        message
        for message in messages_in(value)
        if isinstance(message, AIMessage) or (isinstance(message, dict) and message.get("type") == "ai")
    ]


def identified(written: Any, final: Any) -> Any:
    """What was written to a messages key, as the messages that the state made of it.

    A message written as a tuple, a dict or a string was given its id only there; replayed as it was, it would become
    another message.
    """
    said = [message for message in final if isinstance(message, BaseMessage)] if isinstance(final, list) else []
    items = written if isinstance(written, list) else [written]
    if not said or all(isinstance(item, BaseMessage) for item in items) or isinstance(written, Overwrite):
        return written
    try:
        messages = convert_to_messages(items)
    except (NotImplementedError, ValueError):  # no messages, after all
        return written
    taken = {message.id for message in messages if message.id is not None}
    for place, message in enumerate(messages):
        same = (m for m in said if m.type == message.type and m.content == message.content and m.id not in taken)
        if message.id is None and (found := next(same, None)) is not None:
            messages[place] = found
            taken.add(str(found.id))
    return messages


def message_ids(value: Any) -> list[str | None]:
    """The ids of every message in a value."""
    return [m.get("id") if isinstance(m, dict) else m.id for m in messages_in(value)]


def fingerprint(value: Any) -> str:
    """Equal for values that say the same, whatever ids and metadata their messages carry."""
    return hashlib.sha256(repr(_said(value)).encode()).hexdigest()


def _said(thing: Any) -> Any:
    if isinstance(thing, BaseMessage):
        calls = [(call["name"], call["args"]) for call in getattr(thing, "tool_calls", [])]
        return thing.type, thing.content, calls
    if isinstance(thing, BaseModel):
        return type(thing), _said(dict(thing))
    if isinstance(thing, dict):
        return sorted((repr(key), repr(_said(item))) for key, item in thing.items())
    if isinstance(thing, list | tuple):
        return [_said(item) for item in thing]
    return thing
