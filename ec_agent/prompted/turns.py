"""Writes a conversation with tool calls as plain chat: one system message, then user and assistant messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ec_agent.prompted.protocol import Offer, ToolProtocol

_ROLES: dict[str, type[BaseMessage]] = {
    "system": SystemMessage,
    "developer": SystemMessage,
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
}


def needs_rendering(messages: Sequence[BaseMessage]) -> bool:
    """Tell whether a conversation holds tool calls or results, which a model without tools may refuse."""
    return any(
        isinstance(message, ToolMessage)
        or (isinstance(message, AIMessage) and bool(message.tool_calls or message.invalid_tool_calls))
        for message in messages
    )


def conversation(
    protocol: ToolProtocol,
    messages: Sequence[BaseMessage],
    offer: Offer,
    *,
    examples: Sequence[BaseMessage] = (),
    preamble: str | None = None,
) -> list[BaseMessage]:
    """Write a conversation as plain chat, with tool calls and results as text.

    Args:
        protocol: how tool calls and results are written.
        messages: the conversation. User messages keep content that is not text, such as images.
        offer: the tools. If it is empty, no instructions are added.
        examples: example messages, put between the system message and the conversation.
        preamble: first sentences of the instructions. ``None`` means those of the protocol.

    Returns:
        At most one system message, then alternating user and assistant messages.
    """
    plain = [_of_known_kind(message) for message in messages]
    system = [message.text for message in plain if isinstance(message, SystemMessage)]
    guide = protocol.instructions(offer, preamble) if offer.tools else ""
    opening = "\n\n".join(part for part in (*system, guide) if part)
    turns: list[BaseMessage] = [SystemMessage(opening)] if opening else []
    for message in (*map(_of_known_kind, examples), *plain):
        if isinstance(message, SystemMessage):
            continue
        turn = _turn(protocol, message, offer)
        if turns and type(turn) is type(turns[-1]) and not isinstance(turn, ChatMessage):
            # Many chat templates refuse two messages of one role in a row, so they are joined.
            turns[-1] = type(turn)(content=_joined(turns[-1].content, turn.content))
        else:
            turns.append(turn)
    return turns


def _of_known_kind(message: BaseMessage) -> BaseMessage:
    if isinstance(message, ChatMessage) and message.role in _ROLES:
        return _ROLES[message.role](content=message.content)
    return message


def _turn(protocol: ToolProtocol, message: BaseMessage, offer: Offer) -> BaseMessage:
    if isinstance(message, AIMessage):
        return AIMessage(protocol.said(message, offer))
    if isinstance(message, ToolMessage):
        return HumanMessage(protocol.result(message))
    if isinstance(message, HumanMessage | ChatMessage):
        return message
    return HumanMessage(f"{message.type}: {message.text}")


def _joined(one: Any, other: Any) -> Any:
    if isinstance(one, str) and isinstance(other, str):
        return f"{one}\n{other}"
    return [*_blocks(one), *_blocks(other)]


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
