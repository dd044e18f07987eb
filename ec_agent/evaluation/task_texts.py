"""What a task asks and which answer is right, as plain text for the report."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages

from ec_agent.evaluation.tasks import Task
from ec_agent.rollouts.messages import state_values
from ec_agent.traces.stored import Asked

MOST_LETTERS = 20_000
"""Of a question, and of an expected answer; the rest is left out of the file."""


def asked_of(task: Task) -> Asked:
    """The question of a task, and the answer that it expects: its ``expected``, where it has one."""
    expected = getattr(task, "expected", None)
    return Asked(_shortened(question_of(task.input)), None if expected is None else _shortened(_plain(expected)))


def question_of(input: Any) -> str:
    """An agent's input as text.

    A conversation of one message is that message's text, a longer one a line a message with who speaks; a state without
    messages is the one text in it, or JSON.
    """
    state = state_values(input)
    if state is None:
        return _plain(input)
    messages = _messages(state.get("messages"))
    if len(messages) == 1:
        return _text(messages[0])
    if messages:
        return "\n".join(f"{message.type}: {_text(message)}" for message in messages)
    return _plain(next(iter(state.values())) if len(state) == 1 else state)


def _messages(value: Any) -> list[BaseMessage]:
    if not value:
        return []
    try:
        return list(convert_to_messages([value] if isinstance(value, str | BaseMessage) else value))
    except Exception:  # what the agent's own reducer understands need not be a message here
        return []


def _text(message: BaseMessage) -> str:
    """Its text; images and the like are named by their kind."""
    if isinstance(message.content, str):
        return message.content
    blocks = [{"type": "text", "text": each} if isinstance(each, str) else each for each in message.content]
    return " ".join(str(each["text"]) if each.get("type") == "text" else f"[{each.get('type')}]" for each in blocks)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # keys of other kinds, circles
        return repr(value)


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} ..."
