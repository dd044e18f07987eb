"""What says that a part of a streamed answer is its last."""

from __future__ import annotations

from typing import Any

from ec_agent.capture.shapes.reading import get, listed

FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")
_REASONS = ("finish_reason", "stop_reason")
_NO_REASON = ("", "null")  # the second is how DashScope says that an answer goes on


def ends(choice: Any) -> bool:
    """Whether a choice in a part says why it ended."""
    return _reason(choice) or _reason(get(choice, "delta"))


def says_so(chunk: Any) -> bool:
    """Whether a chunk or event says why the answer ended, wherever it says it."""
    if get(chunk, "type") in FINAL_EVENTS or any(map(ends, listed(get(chunk, "choices")))):
        return True
    return _reason(chunk) or _reason(get(chunk, "usage"))


def _reason(thing: Any) -> bool:
    return any((reason := get(thing, name)) and reason not in _NO_REASON for name in _REASONS)
