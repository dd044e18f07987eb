"""Copy, clean and compare the messages and states of rollouts. No function here changes its input."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, convert_to_messages
from langgraph.types import Command, Overwrite, Send
from pydantic import BaseModel

from ec_agent.capture.known_answers import LOGPROBS, is_answer
from ec_agent.capture.made_later import LaterDict
from ec_agent.errors import IsolationWarning

_LEAVES = frozenset({str, int, float, bool, bytes, type(None)})
"""Types of values with nothing in them. They are looked for first: to ask whether a value is a message costs more."""
_PLAIN = (str, bytes, int, float, type(None))


def state_values(state: Any) -> dict[str, Any] | None:
    """Return a state of any kind (dict, pydantic model, dataclass) as a dict; ``None`` for anything else."""
    if isinstance(state, Mapping):
        return dict(state)
    if isinstance(state, BaseModel):
        return {name: getattr(state, name) for name in type(state).model_fields}
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return None


def private_copy(value: Any, name: str = "the input") -> Any:
    """Return a deep copy, so that no rollout sees what another one does to its input.

    A value that cannot be copied, such as an open connection or a lock, is shared, with an ``IsolationWarning``.
    ``name`` is what the warning calls the value.
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
    """Apply ``change`` to every message in a value, and return the value with the results in their places.

    Messages are found in lists, dicts, ``Overwrite``, ``Send`` and ``Command``, at any depth.
    """
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is dict and not _is_message_dict(value):
        return {key: rebuilt(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [rebuilt(item, change) for item in value]
    if kind is tuple:
        return tuple(rebuilt(item, change) for item in value)
    if isinstance(value, BaseMessage) or _is_message_dict(value):
        return change(value)
    if kind is LaterDict:
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
    """Return the message without the logprobs in its metadata.

    The message itself is not changed, for an LLM cache may hold the same object.
    """
    metadata = message["response_metadata"] if isinstance(message, dict) else message.response_metadata
    if LOGPROBS not in metadata:
        return message
    bare = {key: value for key, value in metadata.items() if key != LOGPROBS}
    if isinstance(message, dict):
        return {**message, "response_metadata": bare}
    return message.model_copy(update={"response_metadata": bare})


def with_id(message: Any) -> Any:
    """Return the message with an id, a new one if it has none.

    LangGraph's message reducer compares ids, so a message without one would be added twice where it is replayed.
    """
    if isinstance(message, BaseMessage) and message.id is None:
        return message.model_copy(update={"id": str(uuid4())})
    return message


def messages_in(value: Any) -> list[Any]:
    """Return every message in a value, in order: message objects, or the dicts that a ``RemoteGraph`` returns."""
    found: list[Any] = []

    def note(message: Any) -> Any:
        found.append(message)
        return message

    rebuilt(value, note)
    return found


def ai_messages(value: Any) -> list[Any]:
    """Return every AI message in a value, in order."""
    return [message for message in messages_in(value) if is_answer(message)]


def answers_within(value: Any, searched: frozenset[int] = frozenset()) -> Iterator[Any]:
    """Yield every AI message in a value, in order, also those in a tool's artifact, a dataclass or a pydantic model.

    ``searched`` holds the ids of the objects that are being searched, so that circular values end.
    """
    if isinstance(value, _PLAIN) or id(value) in searched:
        return
    if is_answer(value):
        yield value
        return
    parts: Iterable[Any] = ()
    if isinstance(value, BaseMessage):
        parts = [getattr(value, "artifact", None)]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = value
    elif isinstance(value, Overwrite):
        parts = [value.value]
    elif isinstance(value, Send):
        parts = [value.arg]
    elif isinstance(value, Command):
        parts = [value.update, value.goto]
    elif (values := state_values(value)) is not None:
        parts = values.values()
    within = searched | {id(value)}
    for part in parts:
        if type(part) not in _LEAVES:
            yield from answers_within(part, within)


class MessagesSeen:
    """Remembers every message that the run's state has held, by state key, also those that were removed later."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[str | None, BaseMessage]] = {}

    def hear(self, state: Any) -> None:
        """Take in a later state of the run."""
        for key, value in state.items() if isinstance(state, Mapping) else ():
            if isinstance(value, list) and value and isinstance(value[-1], BaseMessage):
                there, new = self._by_key.setdefault(key, {}), []
                for message in reversed(value):  # new messages are at the end, so stop at the first known one
                    if not isinstance(message, BaseMessage) or message.id in there:
                        break
                    new.append(message)
                there.update((message.id, message) for message in reversed(new))

    def identified(self, writes: Sequence[tuple[str, Any]], known: Any) -> list[tuple[str, Any]]:
        """Replace messages that were written as tuples, dicts or strings by the messages that the state made of them.

        LangGraph gives such a message its id only when it adds it to the state. Replayed in its written form, it would
        get another id and become another message. The message in the state is found by its content: among those with
        equal content, the first that was neither in ``known`` nor written earlier. A nested graph may write the same
        message again later, under its id.

        Args:
            writes: state keys and values, in the order in which they were applied.
            known: the state before the writes.
        """
        if not any(key in self._by_key and _converted(value) for key, value in writes):
            return list(writes)
        taken = {each for each in message_ids(known) if each is not None}
        return [(key, self._identified(key, value, taken)) for key, value in writes]

    def _identified(self, key: str, written: Any, taken: set[str]) -> Any:
        said = self._by_key.get(key, {})
        items = written if isinstance(written, list) else [written]
        try:
            messages = convert_to_messages(items) if said and _converted(written) else None
        except (NotImplementedError, ValueError):  # the key holds something other than messages
            messages = None
        for place, message in enumerate(messages or ()):
            alike = (m for m in said.values() if m.id not in taken and _says_the_same(m, message))
            if messages and message.id is None and (found := next(alike, None)) is not None:
                messages[place] = message = found
            taken.add(str(message.id))
        taken.update(str(each) for each in message_ids(written))
        return written if messages is None else messages


def _converted(written: Any) -> bool:
    """Tell whether a message reducer makes messages of a written value: it is neither a message nor a list of them."""
    items = written if isinstance(written, list) else [written]
    return not isinstance(written, Overwrite) and not all(isinstance(item, BaseMessage) for item in items)


def _says_the_same(one: BaseMessage, other: BaseMessage) -> bool:
    return (one.type, one.content, one.name) == (other.type, other.content, other.name)


def message_ids(value: Any) -> list[str | None]:
    """Return the ids of all messages in a value."""
    return [m.get("id") if isinstance(m, dict) else m.id for m in messages_in(value)]


def fingerprint(value: Any) -> str:
    """Return a hash that is equal for values with equal content. Ids and metadata of messages do not count."""
    return hashlib.sha256(repr(_said(value)).encode()).hexdigest()


def _said(thing: Any) -> Any:
    if type(thing) in _LEAVES:
        return thing
    if type(thing) is list:
        return [_said(item) for item in thing]
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
