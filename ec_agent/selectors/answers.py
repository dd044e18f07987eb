"""Turns final actions into answers that votes can count: equal answers must compare equal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.selectors.base import Candidate
from ec_agent.support.checks import function

Normalize = Callable[[Any], Hashable | None]


def final_answer(action: Any) -> Hashable | None:
    """Turn a final action into something that can be counted. This is the default ``normalize`` of the votes.

    Two answers count as the same only if the results are equal, character by character. If "14.84 pounds" and "14.84"
    shall be one answer, give the vote your own ``normalize``.

    Args:
        action: the final action of a rollout: a message, a structured response, a dict, a string ...

    Returns:
        For a message with tool calls: the names and arguments of the calls as canonical JSON, sorted, without ids. For
        any other message, or a string: its text without surrounding white space. For anything else (a dict, a
        dataclass, a pydantic model, an interrupt by its value): canonical JSON. ``None``, which is no vote, if there
        is no text, or if the action cannot be written as JSON.
    """
    if action is None:
        return None
    if isinstance(action, str):
        return _text(action)
    if _is_message(action):
        calls = _part(action, "tool_calls")
        return ("tool calls", _json(_bare(calls))) if calls else _text(_words(action))
    try:
        return ("value", _json(action))
    except (TypeError, ValueError, RecursionError):  # no JSON form, or one that contains itself
        return None


def answer_of(candidate: Candidate, normalize: Normalize) -> Hashable | None:
    """Return the answer that a candidate votes for, or ``None`` if it has no vote.

    Raises:
        ConfigError: ``normalize`` failed, or returned something that is not hashable.
    """
    where = f"the final action of rollout {candidate.index} ({type(candidate.final_action).__name__})"
    todo = "return something hashable, such as a string, a number or a tuple, or None for no vote"
    try:
        answer = normalize(candidate.final_action)
    except Exception as error:
        raise ConfigError(f"normalize failed with {error!r} on {where}; {todo}") from error
    try:
        hash(answer)
    except TypeError as error:
        raise ConfigError(f"normalize returned a {type(answer).__name__} for {where}; {todo}") from error
    return answer


def check_normalize(normalize: Any) -> None:
    """Check that ``normalize`` is a function of one argument.

    Raises:
        ConfigError: it is not.
    """
    function("normalize", normalize, "a function from a final action to a hashable answer", of=1)


def _is_message(action: Any) -> bool:
    # Messages are recognised by their attributes, because the selectors may import nothing but NumPy. The messages of
    # a remote graph are dicts.
    if isinstance(action, Mapping):
        return action.get("type") == "ai" and "content" in action
    return hasattr(action, "content") and hasattr(action, "additional_kwargs")


def _part(message: Any, name: str) -> Any:
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)


def _words(message: Any) -> str:
    content = _part(message, "content")
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = (block if isinstance(block, str) else block.get("text") for block in blocks if block)
    return "".join(text for text in texts if isinstance(text, str))


def _text(text: str) -> Hashable | None:
    return ("text", text.strip()) if text.strip() else None


def _bare(calls: Any) -> list[Any]:
    # The calls of one message run in parallel, so their order has no meaning, and sorting makes equal lists equal.
    return sorted(([call["name"], call["args"]] for call in calls), key=_json)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain)


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
        return sorted(value, key=_json)
    raise TypeError(f"{type(value).__name__} has no JSON form")
