"""The interface of a guard, which can end a rollout before its next call."""

from __future__ import annotations

from typing import Protocol


class Guard(Protocol):
    """Limits a rollout: it is asked before and after each call, and an error that it raises ends the rollout."""

    def before(self) -> None:
        """Is called before each LLM or tool call."""

    def after(self, tokens: int) -> None:
        """Is called after each LLM call, with the number of tokens that it generated."""

    @property
    def remaining(self) -> float | None:
        """Seconds that a request may take, or ``None`` if there is no limit."""
