"""The protocol of Hermes and Qwen models for tool calls: ``<tool_call>{"name": ..., "arguments": ...}</tool_call>``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, InvalidToolCall, ToolMessage

from ec_agent.prompted.protocol import Offer
from ec_agent.prompted.replies import CUT, called, decode, decode_from, readable, spoilt

PREAMBLE = "# Tools\n\nYou may call one or more functions to assist with the user query."
_SIGNATURES = "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{}\n</tools>"
_FORM = (
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> "
    'XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_MARK = re.compile(r"<think>.*?(?:</think>|\Z)|<tool_call>", re.DOTALL)
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]+)"')


@dataclass(frozen=True)
class HermesProtocol:
    """The format for tool calls of NousResearch's Hermes models, and of the chat templates of Qwen2.5 and Qwen3.

    The system message lists the tools in ``<tools>``, in the wording of Qwen2.5. Results of tools are user messages
    with ``<tool_response>``. One reply may hold several calls. Text before the first call becomes the content of the
    message, and text after it is dropped. A call that cannot be parsed becomes an ``invalid_tool_call``, with the raw
    block as its arguments.

    The format is only described in the prompt, so ``tool_choice`` is **not enforced**. One exception is ``"none"``: no
    text is then parsed as a call. If you need it enforced, use ``JsonSchemaProtocol``.

    Attributes:
        stop: further stop sequences, sent if tools are bound, besides those of the call or of the inner model. Some
            models go on after a call and invent its result; ``("<tool_response>",)`` stops them.
    """

    stop: tuple[str, ...] = ()

    def instructions(self, offer: Offer, preamble: str | None) -> str:
        """Return the preamble, the tools in ``<tools>``, the form of a call, and what ``tool_choice`` demands."""
        if not offer.choices:
            return "Do not call a function now; answer in plain text."
        tools = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in offer.choices)
        parts = [PREAMBLE if preamble is None else preamble, _SIGNATURES.format(tools), _FORM]
        if not offer.may_answer:
            which = "this function" if len(offer.choices) == 1 else "one or more of these functions"
            parts.append(f"Call {which} now; do not answer yet.")
        return "\n\n".join(part for part in parts if part)

    def said(self, message: AIMessage, offer: Offer) -> str:
        """Return the content, then each call in its tags. A call that could not be parsed is written as it was."""
        calls = [
            json.dumps({"name": call["name"], "arguments": call["args"]}, ensure_ascii=False)
            for call in message.tool_calls
        ]
        calls += [call["args"] or "" for call in message.invalid_tool_calls]
        blocks = [f"{_OPEN}\n{call}\n{_CLOSE}" for call in calls]
        return "\n".join(part for part in (message.text, *blocks) if part)

    def result(self, message: ToolMessage) -> str:
        """Return the text of a tool's result in ``<tool_response>`` tags."""
        return f"<tool_response>\n{message.text}\n</tool_response>"

    def options(self, offer: Offer, model: BaseChatModel) -> dict[str, Any]:
        """Return the stop sequences, if there are any."""
        return {"stop": list(self.stop)} if self.stop else {}

    def parse(self, text: str, offer: Offer) -> AIMessage:
        """Parse each ``<tool_call>`` outside of ``<think>``; the text before the first is the content. Never raises."""
        if not offer.choices:
            return AIMessage(readable(text))
        message = AIMessage("")
        first, place = len(text), 0
        while (mark := _MARK.search(text, place)) is not None:
            place = mark.end()
            if mark[0] == _OPEN:
                first = min(first, mark.start())
                place = _read_call(text, place, message)
        message.content = readable(text if first == len(text) else text[:first].rstrip())
        return message


def _read_call(text: str, start: int, message: AIMessage) -> int:
    """Parse the call whose opening tag ends at ``start``, and add it to the message.

    Returns:
        The index after the call, and after its closing tag if there is one.
    """
    try:
        # The JSON decoder finds the end of the call. The next closing tag may stand inside an argument.
        value, end = decode_from(text, start)
        end += len(text[end:]) - len(text[end:].lstrip())
        if end < len(text) and not text.startswith((_CLOSE, _OPEN), end):
            raise ValueError("something else stands between its JSON and the closing tag")
        name, args = _name_and_args(value)
    except ValueError as error:
        call, end = _unread(text, start, error)
        message.invalid_tool_calls.append(call)
    else:
        message.tool_calls.append(called(name, args))
    return end + len(_CLOSE) * text.startswith(_CLOSE, end)


def _unread(text: str, start: int, error: ValueError) -> tuple[InvalidToolCall, int]:
    ends = [place for tag in (_CLOSE, _OPEN) if (place := text.find(tag, start)) >= 0]
    end = min(ends, default=len(text))
    block = readable(text[start:end].strip())
    name = _NAME.search(block)
    cut = isinstance(error, json.JSONDecodeError) and not ends
    call = spoilt(name[1] if name else None, block, CUT if cut else f"{error}; call again in the form given")
    return call, end


def _name_and_args(value: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError('a call is {"name": ..., "arguments": {...}}')
    args = value.get("arguments")
    if isinstance(args, str):  # in OpenAI's format, the arguments are a string that holds JSON
        args = decode(args)
    if not isinstance(args, dict | None):
        raise ValueError("the arguments are not a JSON object")
    return value["name"], args or {}
