"""Parses what a model wrote: JSON that may be damaged, thoughts, tool calls. Raises nothing but ``ValueError``."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

# Not strict: models sometimes write raw line breaks into JSON strings, and what they mean is clear.
_DECODER = json.JSONDecoder(strict=False)

CUT = "the reply ended before its JSON did; raise max_tokens"


def decode(text: str) -> Any:
    """Return the value of JSON text.

    Raises:
        ValueError: the text is not one JSON value.
    """
    value, end = decode_from(text, 0)
    if text[end:].strip():
        raise ValueError("there is more after the JSON value")
    return value


def decode_from(text: str, start: int) -> tuple[Any, int]:
    """Return the JSON value that begins at index ``start``, or after white space there, and the index of its end.

    Raises:
        ValueError: no JSON value begins there.
    """
    start += len(text[start:]) - len(text[start:].lstrip())
    try:
        value, end = _DECODER.raw_decode(text, start)
        return readable(value), end
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def readable(value: Any) -> Any:
    r"""Replace each half of a surrogate pair in a JSON value: such a half, ``"\ud83d"``, cannot be written as UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    return value


def called(name: str, args: dict[str, Any]) -> ToolCall:
    """Make a tool call with a new id."""
    return tool_call(name=name, args=args, id=_call_id())


def spoilt(name: str | None, args: str, error: str) -> InvalidToolCall:
    """Make an invalid tool call with a new id. ``args`` is its raw text, ``error`` tells the model what is wrong."""
    return invalid_tool_call(name=name, args=args, id=_call_id(), error=error)


def _call_id() -> str:
    return f"call_{uuid4().hex[:24]}"


def after_thinking(text: str) -> tuple[str, str]:
    """Split a reply into the thoughts in its ``<think>`` block at the beginning, without the tags, and the rest.

    If the reply was cut inside the block, all of it is thoughts. If the chat template put the opening tag into the
    prompt, the reply has only the closing tag.
    """
    bare = text.lstrip()
    opened = bare.startswith("<think>")
    thought, closing, rest = bare.removeprefix("<think>").partition("</think>")
    if closing:
        # A closing tag without an opening one may also be part of an argument of a tool call.
        if opened or not ("<think>" in thought or bare.startswith(("{", "<tool_call>"))):
            return thought.strip(), rest.lstrip()
    elif opened:
        return thought.strip(), ""
    return "", text
