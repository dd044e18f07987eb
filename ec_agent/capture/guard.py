"""The base class of guards, which can end a rollout before its next call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Coming:
    """A call that is about to be made.

    Attributes:
        kind: whether a model or a tool is called.
        name: the model's name as it is asked for, or the tool's name; ``None`` if it is not known.
    """

    kind: Literal["model", "tool"]
    name: str | None


class Guard:
    """Limits a rollout: it is asked before and after each call, and an error that it raises ends the rollout.

    This one limits nothing. A subclass overrides what it needs.
    """

    def before(self, coming: Coming | None) -> None:
        """Is called before each LLM or tool call, once a call; with ``None`` where the rollout goes on otherwise.

        That is when a part of an answer has come, and before a nested question starts its rollouts.

        Args:
            coming: the call.
        """

    def after(self, tokens: int) -> None:
        """Is called after each LLM call, with the number of tokens that it generated."""

    @property
    def remaining(self) -> float | None:
        """Seconds that a request may take, or ``None`` if there is no limit."""
        return None
