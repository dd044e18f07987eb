"""Reads what tracers save of one LLM call: LangChain's generations, a message, or the response of a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ec_agent.capture.shapes import (
    Payload,
    first_of_messages,
    get,
    listed,
    merge_payloads,
    payload_of_message,
    payload_of_response,
    plain_message,
)


def payload_of_outputs(outputs: Any) -> Payload:
    """Return the answer that the agent went on with: of several generations the first."""
    generations = listed(get(outputs, "generations"))
    # ``generations`` has one list of alternatives per prompt. In old runs it is one list of alternatives.
    prompts = [generations] if any(isinstance(each, Mapping) for each in generations) else generations
    payloads = [payload for prompt in prompts if (payload := _first(listed(prompt))) is not None]
    if payloads:
        return merge_payloads(payloads)
    answer = get(outputs, "message") or next(iter(listed(get(outputs, "messages"))), None)
    if answer is not None:
        return payload_of_message(plain_message(answer))
    return payload_of_response(outputs or {})  # the run of a wrapped openai client


def _first(alternatives: list[Any]) -> Payload | None:
    """Make the payload of the first alternative, which the agent went on with. It also counts the others' tokens."""
    if not alternatives:
        return None
    # The alternatives of a completion model have text in place of a message.
    messages = [plain_message(get(each, "message") or {"content": get(each, "text")}) for each in alternatives]
    infos = [get(each, "generation_info") for each in alternatives]
    payloads = [payload_of_message(message, info) for message, info in zip(messages, infos, strict=True)]
    return first_of_messages(payloads, messages)
