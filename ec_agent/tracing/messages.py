"""Write messages in the form of OpenTelemetry's GenAI conventions. Used only where the user asked for content."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, convert_to_messages

from ec_agent.capture.shapes import get, listed

_ROLES = {"human": "user", "ai": "assistant"}
_FINISHED = {"tool_calls": "tool_call", "function_call": "tool_call", "end_turn": "stop", "tool_use": "tool_call"}


def as_json(value: Any) -> str:
    """Return the value as JSON. Objects that JSON does not know are written as their ``str``."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except Exception:  # keys that JSON does not allow, circular values, or a ``str`` that raises
        return json.dumps(_worded(value), ensure_ascii=False)


def _worded(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def input_messages(messages: Sequence[BaseMessage]) -> str:
    """Return a model's input messages as JSON."""
    return as_json([_message(message) for message in messages])


def output_messages(messages: Sequence[BaseMessage], reasons: Sequence[str]) -> str:
    """Return a model's output messages as JSON, one message per choice, with the reasons why they ended."""
    known = [*reasons, *[None] * len(messages)]
    return as_json([_finished(message, reason) for message, reason in zip(messages, known, strict=False)])


def _finished(message: BaseMessage, reason: str | None) -> dict[str, Any]:
    reason = reason or ("tool_call" if getattr(message, "tool_calls", None) else "stop")
    return {**_message(message), "finish_reason": _FINISHED.get(reason, reason)}


def asked_in(body: Mapping[str, Any]) -> list[BaseMessage]:
    """Return the input messages in the body of a request to an OpenAI-compatible endpoint."""
    found = body.get("messages") or body.get("input") or body.get("prompt") or []
    try:
        return list(convert_to_messages([found] if isinstance(found, str) else found))
    except (TypeError, ValueError, KeyError, NotImplementedError):  # a body in a form without messages
        return []


def answered_in(response: Any, chunks: Sequence[Any]) -> list[BaseMessage]:
    """Return the output messages of an OpenAI-compatible endpoint: of a whole response, or joined from its chunks."""
    if response is not None and (text := get(response, "output_text")):
        return [AIMessage(str(text))]
    if response is not None:
        return [_answer(choice) for choice in listed(get(response, "choices"))]
    texts: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in listed(get(chunk, "choices"))):
        place = get(choice, "index") or 0
        texts[place] = texts.get(place, "") + str(get(choice, "delta", "content") or get(choice, "text") or "")
    return [AIMessage(text) for _, text in sorted(texts.items())]


def _answer(choice: Any) -> BaseMessage:
    calls = [
        {"name": str(get(call, "function", "name")), "args": _args(call), "id": get(call, "id"), "type": "tool_call"}
        for call in listed(get(choice, "message", "tool_calls"))
    ]
    text = get(choice, "message", "content") or get(choice, "text") or ""
    return AIMessage(str(text), tool_calls=calls)


def _args(call: Any) -> dict[str, Any]:
    written = get(call, "function", "arguments")
    try:
        args = json.loads(written)
    except (TypeError, ValueError):
        return {"arguments": written}
    return args if isinstance(args, dict) else {"arguments": args}


def _message(message: BaseMessage) -> dict[str, Any]:
    return {"role": _ROLES.get(message.type, message.type), "parts": _parts(message)}


def _parts(message: BaseMessage) -> list[dict[str, Any]]:
    if isinstance(message, ToolMessage):
        return [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}]
    try:
        return [_part(block) for block in message.content_blocks]
    except Exception:  # LangChain has no blocks for this form; tracing must not end the run
        return [{"type": "text", "content": str(message.content)}]


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    kind = block["type"]
    if kind == "text":
        return {"type": "text", "content": block["text"]}
    if kind == "reasoning":
        return {"type": "reasoning", "content": block.get("reasoning", "")}
    if kind == "tool_call":
        return {"type": "tool_call", "id": block["id"], "name": block["name"], "arguments": block["args"]}
    return {"type": kind}  # pictures and other large content are named, not copied
