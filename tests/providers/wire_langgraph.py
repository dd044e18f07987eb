"""A LangGraph server's ``POST /runs/stream``, as far as a ``RemoteGraph`` asks for it.

Written to the Agent Server API as langgraph-sdk 0.4.14 reads it. What the model of the remote graph returned is in the
message's ``response_metadata``, as the JSON that LangChain's own integration makes of the provider's answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from said import Turn
from wire import Asked, Reply, Wire, as_named_events

Logprobs = Callable[[Turn], Any]


def graph(logprobs: Logprobs) -> Wire:
    """The wire of a graph whose model's logprobs look like that."""

    def run(turn: Turn, asked: Asked) -> Reply:
        calls = [{"name": turn.name, "args": turn.arguments, "id": "call_0", "type": "tool_call"}] if turn.call else []
        count = len(turn.tokens)
        said = {
            "type": "ai",
            "id": "run-1",
            "content": turn.text,
            "additional_kwargs": {},
            "response_metadata": {"model_name": "remote", "finish_reason": "stop", "logprobs": logprobs(turn)},
            "tool_calls": calls,
            "invalid_tool_calls": [],
            "usage_metadata": {"input_tokens": 7, "output_tokens": count, "total_tokens": 7 + count},
        }
        asked_for = {"type": "human", "id": "1", "content": "hi", "additional_kwargs": {}, "response_metadata": {}}
        return as_named_events(
            [
                ("metadata", {"run_id": "1", "attempt": 1}),
                ("values", {"messages": [asked_for]}),
                ("values", {"messages": [asked_for, said]}),
            ]
        )

    return run
