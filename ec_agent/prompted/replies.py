"""Reading what a model wrote: JSON that may be spoilt, thoughts, tool calls. Nothing here raises but ``ValueError``."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

# Models write raw line breaks into JSON strings now and then; what they meant is plain.
_DECODER = json.JSONDecoder(strict=False)

CUT = "the reply ended before its JSON did; raise max_tokens"


def decode(text: str) -> Any:
    """The JSON value that ``text`` is.

    Raises:
        ValueError: it is none.
    """
    value, end = decode_from(text, 0)
    if text[end:].strip():
        raise ValueError("there is more after the JSON value")
    return value


def decode_from(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at ``start``, or after white space there, and where it ends.

    Raises:
        ValueError: there is none.
    """
    start += len(text[start:]) - len(text[start:].lstrip())
    try:
        value, end = _DECODER.raw_decode(text, start)
        return readable(value), end
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def readable(value: Any) -> Any:
    r"""The value with every half of a surrogate pair replaced: ``"\ud83d"`` cannot be sent, printed or stored."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    return value


def called(name: str, args: dict[str, Any]) -> ToolCall:
    """A tool call, with an id of its own."""
    return tool_call(name=name, args=args, id=_call_id())


def spoilt(name: str | None, args: str, error: str) -> InvalidToolCall:
    """A tool call that cannot be carried out."""
    return invalid_tool_call(name=name, args=args, id=_call_id(), error=error)


def _call_id() -> str:
    return f"call_{uuid4().hex[:24]}"


def after_thinking(text: str) -> tuple[str, str]:
    """Divide a reply into its opening ``<think>`` block, without the tags, and the rest.

    A reply that was cut while thinking is all thought. Where the chat template opens the block in the prompt, the
    reply holds its end alone.
    """
    bare = text.lstrip()
    opened = bare.startswith("<think>")
    thought, closing, rest = bare.removeprefix("<think>").partition("</think>")
    if closing:
        # A call's argument may quote the closing tag.
        if opened or not ("<think>" in thought or bare.startswith(("{", "<tool_call>"))):
            return thought.strip(), rest.lstrip()
    elif opened:
        return thought.strip(), ""
    return "", text
