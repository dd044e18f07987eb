"""The interface of objects to which a recorder reports calls and tools when they start and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from langchain_core.outputs import LLMResult

from ec_agent.capture.open_calls import OpenCall, Request

Came = LLMResult | BaseException | Sequence[Request]
"""What ended a call: the result or the error of a LangChain run; or the answered requests of a client."""


class CallsTold(Protocol):
    """Gets reports about the calls and tools of one rollout. Its methods must not raise.

    Attributes:
        parts: whether it wants reports about parts of streamed answers, too.
    """

    parts: bool

    def call_started(self, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """Is called when an LLM call starts, with its parameters and what the model is asked."""
        ...

    def call_streamed(self, call: OpenCall) -> None:
        """Is called when a part of a streamed answer came."""
        ...

    def call_ended(self, call: OpenCall, came: Came, told_before: int) -> None:
        """Is called when a call is over, whether it has an answer, has none, or only passed on another call's answer.

        Args:
            call: the call.
            came: what ended it.
            told_before: how many of its tokens were reported before, as tokens of calls that it made.
        """
        ...

    def tool_started(self, run: UUID, name: str) -> None:
        """Is called when a tool starts, with the id of its LangChain run and the tool's name."""
        ...

    def tool_ended(self, run: UUID, failed: bool) -> None:
        """Is called when a tool is over, with the id of its LangChain run and whether it failed."""
        ...
