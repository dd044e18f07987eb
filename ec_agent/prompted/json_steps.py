"""Writes and parses the steps of ``JsonSchemaProtocol``. A *step* is one reply: a tool call, or the answer.

A small model does not call tools natively, but a JSON schema can force the form of its reply. So a step is a JSON
object with one key. The key is the name of a tool, with the tool's arguments, ``{"price_of": {"product": "mug"}}``. Or
it is ``"answer"``: ``{"answer": "4.50"}``. If the root of a schema must be a plain object, a wrapper is put around the
step: ``{"step": {"answer": "4.50"}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.utils.json_schema import dereference_refs

from ec_agent.prompted.protocol import tool_names
from ec_agent.prompted.replies import CUT, called, decode, readable, spoilt

PREAMBLE = (
    "Work step by step. Reply with one JSON object: call one tool and wait for its result, or answer when the "
    "results are enough."
)
_FENCE = re.compile(r"\A\s*```(?:json)?\s*(\{.*\})\s*```\s*\Z", re.DOTALL)


def answer_key(tools: Sequence[Mapping[str, Any]]) -> str:
    """Return the key for the answer: ``"answer"``, or another name if a tool is called so."""
    key = "answer"
    while key in tool_names(tools):
        key = f"final_{key}"
    return key


def step_schema(tools: Sequence[Mapping[str, Any]], key: str | None, wrapper: str | None = None) -> dict[str, Any]:
    """Return the JSON schema of a step: ``anyOf`` with one branch for each tool, and one for the answer.

    Args:
        tools: the tools that may be called, in OpenAI's form.
        key: the key for the answer. ``None`` if a tool must be called.
        wrapper: the key around the step, or ``None`` for no wrapper.
    """
    branches = [_branch(tool["function"]["name"], _arguments(tool)) for tool in tools]
    if key is not None:
        branches.append(_branch(key, {"type": "string"}))
    return _branch(wrapper, {"anyOf": branches}) if wrapper else {"anyOf": branches}


def _branch(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}


def _arguments(tool: Mapping[str, Any]) -> dict[str, Any]:
    schema = tool["function"].get("parameters") or {"type": "object", "properties": {}}
    # References ($ref) point to the root of a tool's schema, which is not the root of this one. So they are resolved.
    schema = {k: v for k, v in dereference_refs(schema).items() if k not in ("$defs", "definitions")}
    return {"additionalProperties": False, **_anchored(schema)}


def _anchored(schema: Any) -> Any:
    """Add ``^`` and ``$`` to each ``pattern`` of a schema.

    In JSON Schema a pattern may match anywhere in a string. Servers turn it into a grammar for the whole string.
    """
    if isinstance(schema, list):
        return [_anchored(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: _anchored(value) for key, value in schema.items()}
    pattern = done.get("pattern")
    if isinstance(pattern, str):  # if not, it is the schema of a property with the name "pattern"
        start, end = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith(r"\$")
        if not (start and end):
            core = pattern[int(start) : len(pattern) - int(end)]
            done["pattern"] = f"^{'' if start else '.*'}({core}){'' if end else '.*'}$"
    return done


def instructions(preamble: str, tools: Sequence[Mapping[str, Any]], key: str | None, wrapper: str | None = None) -> str:
    """Return the preamble, then one line with the form of each possible step. Arguments as of ``step_schema``."""
    lines = [preamble] if preamble else []
    for tool in tools:
        function = tool["function"]
        properties = (function.get("parameters") or {}).get("properties", {})
        form = _dumped({function["name"]: dict.fromkeys(properties, "...")}, wrapper)
        about = (function.get("description") or "").strip().split("\n")[0]
        lines.append(f"{form}: {about}" if about else form)
    if key is not None:
        lines.append(_dumped({key: "..."}, wrapper) + ": The final answer.")
    return "\n".join(lines)


def said(message: AIMessage, key: str, wrapper: str | None = None) -> str:
    """Write an earlier message of the model as a step, or as several, one a line.

    Args:
        message: the message.
        key: the key for the answer.
        wrapper: the key around each step, or ``None`` for no wrapper.
    """
    if message.invalid_tool_calls and not message.tool_calls:
        return message.text
    steps: list[dict[str, Any]] = [{call["name"]: call["args"]} for call in message.tool_calls]
    return "\n".join(_dumped(step, wrapper) for step in steps or [{key: message.text}])


def _dumped(step: dict[str, Any], wrapper: str | None) -> str:
    return json.dumps({wrapper: step} if wrapper else step, ensure_ascii=False)


def parse_step(text: str, names: Iterable[str], key: str, wrapper: str | None = None) -> AIMessage:
    """Turn a reply into the message that a model with native tool calls would have sent. Never raises.

    Some replies are not a step: they were cut at the token limit, or the endpoint ignored the schema. If the answer can
    be read from such a reply, it is used. If the name of a tool can be read, the message has an ``invalid_tool_call``,
    and the text as content. Otherwise the text is the answer.

    Args:
        text: the model's reply. A code fence around it is ignored.
        names: the names of the tools that may be called.
        key: the key for the answer.
        wrapper: the key around a step, or ``None``. A step without the wrapper is accepted, too.
    """
    names = set(names)
    fenced = _FENCE.match(text)
    try:
        step = decode(fenced[1] if fenced else text)
    except ValueError:
        return _salvage(text, names, key, wrapper)
    if wrapper not in names and isinstance(step, dict) and isinstance(inner := step.get(wrapper), dict):
        step = inner
    text = readable(text)
    if not (isinstance(step, dict) and len(step) == 1):
        return AIMessage(text)
    ((name, value),) = step.items()
    if name == key:
        return AIMessage(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if name not in names:
        return AIMessage(text)
    if isinstance(value, dict):
        return AIMessage("", tool_calls=[called(name, value)])
    return _invalid(text, name, json.dumps(value), "the arguments are not a JSON object")


def _salvage(text: str, names: set[str], key: str, wrapper: str | None) -> AIMessage:
    opening = re.match(r'\s*\{\s*"([^"\\]+)"\s*:\s*', text)
    if opening is None:
        return AIMessage(readable(text))
    name, rest = opening[1], text[opening.end() :]
    if name == wrapper and name not in names and name != key:  # a tool may have the name of the wrapper
        found = _salvage(rest, names, key, None)
        return found if found.invalid_tool_calls or found.content != rest else AIMessage(readable(text))
    if name == key and (answer := _cut_string(rest)) is not None:
        return AIMessage(answer)
    if name in names:
        return _invalid(readable(text), name, readable(rest), CUT)
    return AIMessage(readable(text))


def _cut_string(text: str) -> str | None:
    """Return the readable part of a JSON string that was cut off, or ``None`` if the text is not a JSON string."""
    # If an escape of six characters, such as \\u00e9, was cut in its middle, a shorter beginning is readable.
    for end in range(len(text), max(0, len(text) - 7), -1):
        try:
            return str(decode(f'{text[:end]}"'))
        except ValueError:
            continue
    return None


def _invalid(text: str, name: str, args: str, error: str) -> AIMessage:
    return AIMessage(text, invalid_tool_calls=[spoilt(name, args, error)])
