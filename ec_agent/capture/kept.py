"""What a rollout keeps besides its numbers, for people to look at: texts, candidates, and the tools it ran."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from ec_agent.numbers.trajectory import Call, ToolUse

MOST_LETTERS = 2000
"""Of a tool's arguments, result or error."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is to be kept.

    Attributes:
        text: token texts, and what tools were given and returned.
        candidates: how many of each token's likeliest candidates.
    """

    text: bool = False
    candidates: int = 0

    @classmethod
    def for_all(cls, wishes: Sequence[Kept]) -> Kept:
        """What gives each of them what it wants."""
        return cls(any(each.text for each in wishes), max(each.candidates for each in wishes))


class ToolLog:
    """The tools a rollout has run, each with its place among the calls. Thread-safe.

    Args:
        text: keep arguments, results and errors too.

    Attributes:
        on_idle: is called when a tool has ended and no other runs.
    """

    def __init__(self, text: bool = False) -> None:
        self.on_idle: Callable[[], None] | None = None
        self._text = text
        self._running: set[UUID] = set()
        self._uses: dict[UUID, tuple[float, ToolUse]] = {}
        self._lock = threading.Lock()

    def start(self, run: UUID, sequence: float, name: str, arguments: Any) -> None:
        """A tool runs; ``sequence`` is its place in the order in which calls and tools start."""
        with self._lock:
            self._running.add(run)
            self._uses[run] = (sequence, ToolUse(name, arguments=self._clipped(arguments)))

    def end(self, run: UUID, result: Any) -> None:
        """It returned."""
        status = getattr(result, "status", None)
        said = self._clipped(getattr(result, "content", result))
        self._change(run, None if status == "error" else said, said if status == "error" else None)

    def fail(self, run: UUID, error: BaseException) -> None:
        """It raised."""
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
        except Exception:  # a tool's object need not know how to say itself
            text = f"<{type(said).__qualname__}>"
        return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 4]} ..."

    def placed(self, calls: Sequence[tuple[float, Call]]) -> list[Call]:
        """The calls, each with the tools that started after it and before the next.

        Args:
            calls: in order, with their places in the order in which calls and tools start.
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
