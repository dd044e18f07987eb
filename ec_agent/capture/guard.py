"""Who may end a rollout before its next call."""

from __future__ import annotations

from typing import Protocol


class Guard(Protocol):
    """Watches over the calls of a rollout; what it raises ends the rollout."""

    def before(self) -> None:
        """A call is about to be made."""

    def after(self, tokens: int) -> None:
        """A call has ended and generated so many tokens."""

    @property
    def remaining(self) -> float | None:
        """Seconds a request may take; ``None`` without a limit."""
