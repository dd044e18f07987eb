"""One agent step as text: tools to a JSON schema, messages to plain chat, a reply to tool calls. Pure functions.

A small model never calls tools natively, but it can be held to a JSON schema. So a step is one JSON object with one
key: the name of a tool with its arguments, ``{"price_of": {"product": "mug"}}``, or ``{"answer": "4.50"}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.utils.json_schema import dereference_refs

from ec_agent.errors import ConfigError

PREAMBLE = (
    "Work step by step. Reply with one JSON object: call one tool and wait for its result, or answer when the "
    "results are enough."
)


def answer_key(tools: Sequence[Mapping[str, Any]]) -> str:
    """The key of the answer branch: ``"answer"``, or another name where a tool has that one."""
    key = "answer"
    while key in tool_names(tools):
        key = f"final_{key}"
    return key


def tool_names(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of OpenAI-style tools (``{"type": "function", "function": {"name": ...}}``), in order."""
    return [tool["function"]["name"] for tool in tools]


def offered(tools: Sequence[dict[str, Any]], tool_choice: Any) -> tuple[list[dict[str, Any]], bool]:
    """What a step may be under a ``tool_choice``.

    Args:
        tools: OpenAI-style tools.
        tool_choice: ``None``/``"auto"`` (any tool or the answer), ``"none"`` (the answer), ``"any"``/
            ``"required"``/``True`` (any tool), a tool's name, or ``{"type": "function", "function": {"name": ...}}``.

    Returns:
        The tools on offer, and whether the answer is.

    Raises:
        ConfigError: the choice names no such tool.
    """
    if tool_choice in (None, False, "auto"):
        return list(tools), True
    if tool_choice == "none":
        return [], True
    if tool_choice in (True, "any", "required"):
        return list(tools), False
    name = tool_choice
    if isinstance(tool_choice, Mapping):
        name = tool_choice.get("function", {}).get("name")
    chosen = [tool for tool in tools if tool["function"]["name"] == name]
    if not chosen:
        raise ConfigError(f"tool_choice={tool_choice!r} names none of {tool_names(tools)}; name one, or use 'any'")
    return chosen, False


def step_schema(tools: Sequence[Mapping[str, Any]], key: str | None) -> dict[str, Any]:
    """The JSON schema of one step: ``anyOf`` a branch per tool and, under ``key``, the answer.

    Args:
        tools: the OpenAI-style tools on offer.
        key: the answer's key; ``None`` where only tools are on offer.
    """
    branches = [_branch(tool["function"]["name"], _arguments(tool)) for tool in tools]
    if key is not None:
        branches.append(_branch(key, {"type": "string"}))
    return {"anyOf": branches}


def _branch(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}


def _arguments(tool: Mapping[str, Any]) -> dict[str, Any]:
    schema = tool["function"].get("parameters") or {"type": "object", "properties": {}}
    # Each tool's references point into its own schema, which is not the root here.
    schema = {k: v for k, v in dereference_refs(schema).items() if k not in ("$defs", "definitions")}
    return {"additionalProperties": False, **_anchored(schema)}


def _anchored(schema: Any) -> Any:
    """Anchor every ``pattern`` at both ends: a JSON schema's is a search, a grammar knows whole strings only."""
    if isinstance(schema, list):
        return [_anchored(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: _anchored(value) for key, value in schema.items()}
    pattern = done.get("pattern")
    if isinstance(pattern, str):  # otherwise a property that happens to be called so
        start, end = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith(r"\$")
        if not (start and end):
            core = pattern[int(start) : len(pattern) - int(end)]
            done["pattern"] = f"^{'' if start else '.*'}({core}){'' if end else '.*'}$"
    return done


def instructions(preamble: str, tools: Sequence[Mapping[str, Any]], key: str | None) -> str:
    """The preamble, then one line for each step on offer with an example of its form."""
    lines = [preamble] if preamble else []
    for tool in tools:
        function = tool["function"]
        properties = (function.get("parameters") or {}).get("properties", {})
        form = json.dumps({function["name"]: dict.fromkeys(properties, "...")})
        about = (function.get("description") or "").strip().split("\n")[0]
        lines.append(f"{form}: {about}" if about else form)
    if key is not None:
        lines.append(json.dumps({key: "..."}) + ": The final answer.")
    return "\n".join(lines)


def chat_messages(
    messages: Sequence[BaseMessage],
    *,
    examples: Sequence[BaseMessage] = (),
    guide: str = "",
    key: str | None = None,
) -> list[dict[str, str]]:
    """Messages as plain chat that any template knows: one system message, then user and assistant in turns.

    Args:
        messages: the conversation; tool calls become the JSON steps they were, tool results user messages.
        examples: worked examples, placed between the system message and the conversation.
        guide: text added to the system message (``instructions``).
        key: the answer's key, under which earlier answers are shown; ``None`` shows them as they are.

    Returns:
        ``[{"role": ..., "content": ...}]``.
    """
    system = [message.text for message in messages if isinstance(message, SystemMessage)]
    chat = [{"role": "system", "content": "\n\n".join(part for part in (*system, guide) if part)}]
    if not chat[0]["content"]:
        chat.clear()
    for message in (*examples, *messages):
        if isinstance(message, SystemMessage):
            continue
        role, content = _plain(message, key)
        if chat and chat[-1]["role"] == role:  # many templates refuse two turns of one role in a row
            chat[-1]["content"] += f"\n{content}"
        else:
            chat.append({"role": role, "content": content})
    return chat


def _plain(message: BaseMessage, key: str | None) -> tuple[str, str]:
    if isinstance(message, AIMessage):
        if message.tool_calls:
            steps = [json.dumps({call["name"]: call["args"]}, ensure_ascii=False) for call in message.tool_calls]
            return "assistant", "\n".join(steps)
        if key is None or message.invalid_tool_calls:
            return "assistant", message.text
        return "assistant", json.dumps({key: message.text}, ensure_ascii=False)
    if isinstance(message, ToolMessage):
        return "user", message.text
    if isinstance(message, ChatMessage):
        return message.role, message.text
    if isinstance(message, HumanMessage):
        return "user", message.text
    return "user", f"{message.type}: {message.text}"


def parse_step(text: str, names: Iterable[str], key: str) -> AIMessage:
    """Turn a reply into the message a tool-calling model would have sent. Never raises.

    A reply that is no step (cut off at the token limit, or from an endpoint that ignores the schema) becomes an
    answer where the answer can be read, else an ``invalid_tool_call`` where a tool can be, with the text as content.

    Args:
        text: the model's reply.
        names: the tools on offer.
        key: the answer's key.
    """
    try:
        step = json.loads(text)
    except ValueError:
        return _salvage(text, names, key)
    if not (isinstance(step, dict) and len(step) == 1):
        return AIMessage(text)
    ((name, value),) = step.items()
    if name == key:
        return AIMessage(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if name not in set(names):
        return AIMessage(text)
    if isinstance(value, dict):
        return AIMessage("", tool_calls=[tool_call(name=name, args=value, id=_call_id())])
    return _invalid(text, name, json.dumps(value), "the arguments are not a JSON object")


def _salvage(text: str, names: Iterable[str], key: str) -> AIMessage:
    opening = re.match(r'\s*\{\s*"([^"\\]+)"\s*:\s*', text)
    if opening is None:
        return AIMessage(text)
    name, rest = opening[1], text[opening.end() :]
    if name == key and (answer := _cut_string(rest)) is not None:
        return AIMessage(answer)
    if name in set(names):
        return _invalid(text, name, rest, "the reply ended before its JSON did; raise max_tokens")
    return AIMessage(text)


def _cut_string(text: str) -> str | None:
    """The readable part of a JSON string that was cut off; ``None`` if it is no string."""
    for end in range(len(text), max(0, len(text) - 7), -1):  # an escape such as \\u00e9 may be cut in its middle
        try:
            return str(json.loads(f'{text[:end]}"', strict=False))
        except ValueError:
            continue
    return None


def _invalid(text: str, name: str, args: str, error: str) -> AIMessage:
    call = invalid_tool_call(name=name, args=args, id=_call_id(), error=error)
    return AIMessage(text, invalid_tool_calls=[call])


def _call_id() -> str:
    return f"call_{uuid4().hex[:24]}"
