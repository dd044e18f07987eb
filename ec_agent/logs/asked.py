"""What a model was asked, as a digest: rollouts whose first question is the same answer the same task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from ec_agent.capture.shapes import get, plain_message
from ec_agent.logs.messages import is_answer, is_conversation

_NAMES = ("messages", "input", "prompt", "prompts", "inputs", "contents", "question")
"""Keys under which a request has what is asked, in the order in which they are tried."""

_AROUND = ("request", "kwargs", "body", "params", "input", "inputs")
"""Keys under which a record has its request."""

_ROLES = {"human": "user", "ai": "assistant"}
_SAID = ("task", "content", "text", "parts", "tool_calls", "arguments", "output")
_DEEPEST = 4


def asked_of(record: Any) -> str | None:
    """Return a digest of what was asked, or ``None`` if the record does not have it.

    Ids, times and other details of messages do not count: only who said what. If the messages end with an answer, they
    hold the whole conversation, and those before the first answer are the question.

    Args:
        record: a request, a conversation, or a record that has one under a known key.
    """
    question = _question(record)
    if _is_list(question):
        messages = [plain_message(each) for each in question]
        answers = _answers(messages)
        if answers and answers[-1] == len(messages) - 1:
            messages = messages[: answers[0]]
        question = [_plain(each) for each in messages]
    return _digest(question)


def earlier_of(record: Any) -> str | None:
    """Return a digest of what was asked before the last answer among what was asked, or ``None`` if there is none.

    If it is what another record was asked, the two may be calls of one rollout.
    """
    question = _question(record)
    if not _is_list(question):
        return None
    messages = [plain_message(each) for each in question]
    answers = _answers(messages)
    if not answers or answers[-1] == len(messages) - 1:
        return None
    return _digest([_plain(each) for each in messages[: answers[-1]]])


def _is_list(question: Any) -> bool:
    return isinstance(question, Sequence) and not isinstance(question, str)


def _answers(messages: Sequence[Any]) -> list[int]:
    return [place for place, each in enumerate(messages) if isinstance(each, Mapping) and is_answer(each)]


def _digest(question: Any) -> str | None:
    if not question:
        return None
    text = json.dumps(question, sort_keys=True, default=str)
    return blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()


def _question(record: Any, depth: int = 0) -> Any:
    if isinstance(record, str):
        return record if depth else None
    if isinstance(record, list):
        if len(record) == 1 and isinstance(record[0], list):  # LangChain has a list for each prompt
            return _question(record[0], depth + 1)
        return record if is_conversation(record) or (depth and all(isinstance(each, str) for each in record)) else None
    if not isinstance(record, Mapping) or depth > _DEEPEST:
        return None
    for name in _NAMES:
        value = record.get(name)
        if name == "prompt" and isinstance(value, Mapping):  # of promptfoo
            value = value.get("raw")
        if isinstance(value, str | list) and value:
            return _question(value, depth + 1)
    inner = (_question(record[name], depth + 1) for name in _AROUND if isinstance(record.get(name), Mapping))
    return next((each for each in inner if each), None)


def _role(message: Any) -> Any:
    role = get(message, "role") or get(message, "type") or get(message, "kind")
    return _ROLES.get(role, role) if isinstance(role, str) else role


def _plain(message: Any) -> Any:
    """Return who says what in a message, without its id and other details."""
    if not isinstance(message, Mapping):
        return message
    return [_role(message), [_words(message[name]) for name in _SAID if message.get(name)]]


def _words(value: Any) -> Any:
    """Return a message's content: text alone as a string, however it is written."""
    if isinstance(value, list):
        words = [_words(each) for each in value]
        return words[0] if len(words) == 1 else words
    if isinstance(value, Mapping):
        if isinstance(text := value.get("text") or value.get("content"), str):
            return text
        return {name: each for name, each in value.items() if name not in ("id", "call_id", "timestamp", "index")}
    return value
