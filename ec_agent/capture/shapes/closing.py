"""What says that a part of a streamed answer is its last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ec_agent.capture.shapes.reading import count, get, listed

FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")
_REASONS = ("finish_reason", "stop_reason")
_NO_REASON = ("", "null")  # the second is how DashScope says that an answer goes on


def ends(choice: Any) -> bool:
    """Whether a choice in a part says why it ended."""
    return _reason(choice) or _reason(get(choice, "delta"))


def all_say_so(chunks: Sequence[Any]) -> bool:
    """Whether chunks or events say why the answer ended, wherever they say it; of several answers, of each."""
    if any(get(c, "type") in FINAL_EVENTS or _reason(c) or _reason(get(c, "usage")) for c in reversed(chunks)):
        return True
    choices = [choice for chunk in chunks for choice in listed(get(chunk, "choices"))]
    over = {count(get(choice, "index")) or 0 for choice in choices if ends(choice)}
    return bool(over) and all((count(get(choice, "index")) or 0) in over for choice in choices)


def _reason(thing: Any) -> bool:
    return any((reason := get(thing, name)) and reason not in _NO_REASON for name in _REASONS)
