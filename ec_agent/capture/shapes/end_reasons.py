"""Recognises parts of a streamed answer that say why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ec_agent.capture.shapes.values import count, get, listed

FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")
_REASONS = ("finish_reason", "stop_reason")
_NO_REASON = ("", "null")  # DashScope writes "null" as long as an answer goes on


def ends(choice: Any) -> bool:
    """Tell whether a choice in a part says why the answer ended."""
    return _reason(choice) or _reason(get(choice, "delta"))


def all_say_so(chunks: Sequence[Any]) -> bool:
    """Tell whether chunks or events say why the answer ended; if there are several answers, why each ended."""
    if any(get(c, "type") in FINAL_EVENTS or _reason(c) or _reason(get(c, "usage")) for c in reversed(chunks)):
        return True
    choices = [choice for chunk in chunks for choice in listed(get(chunk, "choices"))]
    over = {count(get(choice, "index")) or 0 for choice in choices if ends(choice)}
    return bool(over) and all((count(get(choice, "index")) or 0) in over for choice in choices)


def _reason(thing: Any) -> bool:
    return any((reason := get(thing, name)) and reason not in _NO_REASON for name in _REASONS)
