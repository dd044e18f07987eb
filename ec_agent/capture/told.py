"""To whom a recorder tells of calls and tools as they start and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from langchain_core.outputs import LLMResult

from ec_agent.capture.calls import OpenCall, Request

Came = LLMResult | BaseException | Sequence[Request]
"""What ended a call: a LangChain run's result, or its error; else the client's requests for it that were answered."""


class CallsTold(Protocol):
    """Is told of one rollout's calls and tools. Nothing is raised.

    Attributes:
        parts: whether parts of answers are to be told, too.
    """

    parts: bool

    def call_started(self, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """A call is made, with these parameters, what the model is asked among them."""
        ...

    def call_streamed(self, call: OpenCall) -> None:
        """A part of its answer came."""
        ...

    def call_ended(self, call: OpenCall, came: Came, told_before: int) -> None:
        """It is over: with an answer, without one, or as one that only passed another call's answer on.

        Args:
            call: the call.
            came: what ended it.
            told_before: how many of its tokens were told of already, as those of calls that it made.
        """
        ...

    def tool_started(self, run: UUID, name: str) -> None:
        """A tool runs."""
        ...

    def tool_ended(self, run: UUID, failed: bool) -> None:
        """It is over."""
        ...
