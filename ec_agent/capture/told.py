"""To whom a recorder tells of calls and tools as they start and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from ec_agent.capture.calls import OpenCall, Request


class CallsTold(Protocol):
    """Is told of one rollout's calls and tools. Nothing is raised.

    Attributes:
        parts: whether parts of answers are to be told, too.
    """

    parts: bool

    def call_started(self, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """A call is made, with these parameters."""
        ...

    def call_streamed(self, call: OpenCall) -> None:
        """A part of its answer came."""
        ...

    def call_ended(self, call: OpenCall, requests: Sequence[Request], told_before: int) -> None:
        """It is over: with an answer, without one, or as one that only passed another call's answer on.

        Args:
            call: the call.
            requests: the client's requests for it that were answered.
            told_before: how many of its tokens were told of already, as those of calls that it made.
        """
        ...

    def tool_started(self, run: UUID, name: str) -> None:
        """A tool runs."""
        ...

    def tool_ended(self, run: UUID, failed: bool) -> None:
        """It is over."""
        ...
