"""One agent step as JSON: tools to a schema, earlier messages to steps, a reply to tool calls. Pure functions.

A small model never calls tools natively, but it can be held to a JSON schema. So a step is one JSON object with one
key: the name of a tool with its arguments, ``{"price_of": {"product": "mug"}}``, or ``{"answer": "4.50"}``. Where the
schema's root must be a plain object, the step is wrapped: ``{"step": {"answer": "4.50"}}``.
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
    """The key of the answer branch: ``"answer"``, or another name where a tool has that one."""
    key = "answer"
    while key in tool_names(tools):
        key = f"final_{key}"
    return key


def step_schema(tools: Sequence[Mapping[str, Any]], key: str | None, wrapper: str | None = None) -> dict[str, Any]:
    """The JSON schema of one step: ``anyOf`` a branch per tool and, under ``key``, the answer.

    Args:
        tools: the OpenAI-style tools on offer.
        key: the answer's key; ``None`` where only tools are on offer.
        wrapper: the key that the step is wrapped in, if it is.
    """
    branches = [_branch(tool["function"]["name"], _arguments(tool)) for tool in tools]
    if key is not None:
        branches.append(_branch(key, {"type": "string"}))
    return _branch(wrapper, {"anyOf": branches}) if wrapper else {"anyOf": branches}


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


def instructions(preamble: str, tools: Sequence[Mapping[str, Any]], key: str | None, wrapper: str | None = None) -> str:
    """The preamble, then one line for each step on offer with an example of its form."""
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
    """An earlier message of the model as the step or steps it was.

    Args:
        message: the message.
        key: the answer's key.
        wrapper: the key that steps are wrapped in, if they are.
    """
    if message.invalid_tool_calls and not message.tool_calls:
        return message.text
    steps: list[dict[str, Any]] = [{call["name"]: call["args"]} for call in message.tool_calls]
    return "\n".join(_dumped(step, wrapper) for step in steps or [{key: message.text}])


def _dumped(step: dict[str, Any], wrapper: str | None) -> str:
    return json.dumps({wrapper: step} if wrapper else step, ensure_ascii=False)


def parse_step(text: str, names: Iterable[str], key: str, wrapper: str | None = None) -> AIMessage:
    """Turn a reply into the message a tool-calling model would have sent. Never raises.

    A reply that is no step (cut off at the token limit, or from an endpoint that ignores the schema) becomes an
    answer where the answer can be read, else an ``invalid_tool_call`` where a tool can be, with the text as content.

    Args:
        text: the model's reply; a code fence around it is overlooked.
        names: the tools on offer.
        key: the answer's key.
        wrapper: the key that steps are wrapped in; a step without it is read as well.
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
    if name == wrapper and name not in names and name != key:
        found = _salvage(rest, names, key, None)
        return found if found.invalid_tool_calls or found.content != rest else AIMessage(readable(text))
    if name == key and (answer := _cut_string(rest)) is not None:
        return AIMessage(answer)
    if name in names:
        return _invalid(readable(text), name, readable(rest), CUT)
    return AIMessage(readable(text))


def _cut_string(text: str) -> str | None:
    """The readable part of a JSON string that was cut off; ``None`` if it is no string."""
    for end in range(len(text), max(0, len(text) - 7), -1):  # an escape such as \\u00e9 may be cut in its middle
        try:
            return str(decode(f'{text[:end]}"'))
        except ValueError:
            continue
    return None


def _invalid(text: str, name: str, args: str, error: str) -> AIMessage:
    return AIMessage(text, invalid_tool_calls=[spoilt(name, args, error)])
