"""The tools that a rollout ran: their names, and if wished their arguments, results and errors."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from ec_agent.numbers.trajectory import Call, ToolUse

MOST_LETTERS = 2000
"""Longest text that is kept of a tool's arguments, result or error."""


class ToolLog:
    """The tools that a rollout ran, each with its place among the LLM calls. Thread-safe.

    Args:
        text: whether to keep arguments, results and errors.

    Attributes:
        on_idle: function that is called when a tool has ended and no other tool runs.
    """

    def __init__(self, text: bool = False) -> None:
        self.on_idle: Callable[[], None] | None = None
        self._text = text
        self._running: set[UUID] = set()
        self._uses: dict[UUID, tuple[float, ToolUse]] = {}
        self._lock = threading.Lock()

    def start(self, run: UUID, sequence: float, name: str, arguments: Any) -> None:
        """Note the start of a tool. ``sequence`` is its place in the order in which calls and tools start."""
        with self._lock:
            self._running.add(run)
            self._uses[run] = (sequence, ToolUse(name, arguments=self._clipped(arguments)))

    def end(self, run: UUID, result: Any) -> None:
        """Note the result of a tool."""
        status = getattr(result, "status", None)
        said = self._clipped(getattr(result, "content", result))
        self._change(run, None if status == "error" else said, said if status == "error" else None)

    def fail(self, run: UUID, error: BaseException) -> None:
        """Note the error that a tool raised."""
        self._change(run, None, self._clipped(f"{type(error).__name__}: {error}"))

    def _change(self, run: UUID, result: str | None, error: str | None) -> None:
        with self._lock:
            if run in self._uses:
                sequence, use = self._uses[run]
                self._uses[run] = (sequence, replace(use, result=result, error=error))
            self._running.discard(run)
            idle = not self._running
        if idle and self.on_idle is not None:
            self.on_idle()

    @property
    def idle(self) -> bool:
        """Whether no tool runs."""
        return not self._running

    def _clipped(self, said: Any) -> str | None:
        if not self._text:
            return None
        try:
            text = said if isinstance(said, str) else str(said)
        except Exception:  # the __str__ of a tool's result may raise anything
            text = f"<{type(said).__qualname__}>"
        return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 4]} ..."

    def placed(self, calls: Sequence[tuple[float, Call]]) -> list[Call]:
        """Return the calls, each with the tools that started after it and before the next call.

        Args:
            calls: the calls in order, each with its place in the order in which calls and tools start.
        """
        with self._lock:
            uses = sorted(self._uses.values(), key=lambda each: each[0])
        starts = [sequence for sequence, _ in calls]
        found: dict[int, list[ToolUse]] = {}
        for sequence, use in uses:
            found.setdefault(bisect_left(starts, sequence) - 1, []).append(use)
        return [
            replace(call, tools=(*call.tools, *found[place])) if place in found else call
            for place, (_, call) in enumerate(calls)
        ]
