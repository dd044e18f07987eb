"""Writes what a judge is shown as text: the question, and the final actions of rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ec_agent.selectors.actions import calls_of, json_of, text_of
from ec_agent.support.checks import repr_of

_ROLES = {"human": "user", "ai": "assistant"}


def question_text(question: Any) -> str:
    """Write an agent's input as text: a text or a single message as it is, a conversation with its roles.

    Of a state with ``messages``, the other keys that have a value follow as JSON.
    """
    if isinstance(question, Mapping) and "messages" in question:
        rest = {key: value for key, value in question.items() if key != "messages" and value not in (None, "", [], {})}
        talk = question_text(question["messages"])
        return "\n\n".join(filter(None, [talk, *(f"{key}: {_plain(value)}" for key, value in rest.items())]))
    if isinstance(question, list) and question and all(_is_said(each) for each in question):
        said = [_said(each) for each in question]
        return said[0][1] if len(said) == 1 else "\n\n".join(f"{role}: {words}" for role, words in said)
    return _said(question)[1] if _is_said(question) else _plain(question)


def action_text(action: Any) -> str:
    """Write a final action as text: the message's text, then its tool calls, one per line; anything else as JSON.

    Empty if there is nothing.
    """
    if action is None:
        return ""
    words, calls = text_of(action), calls_of(action) or []
    if words is None and not calls:
        return _plain(action)
    return "\n".join(filter(None, [(words or "").strip(), *(f"call {name}({json_of(args)})" for name, args in calls)]))


def cut(text: str, most: int) -> str:
    """Return the text with its middle left out if it has more than ``most`` characters, and a note in its place."""
    if len(text) <= most:
        return text
    head, tail = most - most // 3, most // 3
    return f"{text[:head]}\n[... {len(text) - most} characters left out ...]\n{text[len(text) - tail :]}"


def _is_said(thing: Any) -> bool:
    """Whether it is a message, in any form that a state may hold: an object, a pair of role and text, a dict."""
    if isinstance(thing, Mapping):
        return "content" in thing and ("role" in thing or "type" in thing)
    pair = isinstance(thing, tuple) and len(thing) == 2 and all(isinstance(each, str) for each in thing)
    return pair or (hasattr(thing, "content") and hasattr(thing, "type"))


def _said(message: Any) -> tuple[str, str]:
    if isinstance(message, tuple):
        role, words = message
    elif isinstance(message, Mapping):
        role = str(message.get("role") or message.get("type"))
        words = message["content"] if isinstance(message["content"], str) else _plain(message["content"])
    else:
        role, words = str(message.type), action_text(message)
    return str(_ROLES.get(role, role)), str(words)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json_of(value)
    except (TypeError, ValueError, RecursionError):
        return repr_of(value)
