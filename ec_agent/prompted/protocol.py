"""The interface of a protocol for tool calls in text, and the tools that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage

from ec_agent.errors import ConfigError
from ec_agent.support.checks import refusal, repr_of

Tool = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools that the model may use in one reply.

    Attributes:
        tools: all bound tools, in OpenAI's form: ``{"type": "function", "function": {"name": ...}}``.
        choices: the tools that ``tool_choice`` allows.
        may_answer: whether the reply may be an answer. If ``False``, it must call a tool.
    """

    tools: tuple[Tool, ...] = ()
    choices: tuple[Tool, ...] = ()
    may_answer: bool = True

    @property
    def names(self) -> list[str]:
        """Names of the tools that a reply is parsed for: all bound tools, or none with ``tool_choice="none"``."""
        return tool_names(self.tools) if self.choices else []


@runtime_checkable
class ToolProtocol(Protocol):
    """How tools, tool calls and tool results are written as text, and how tool calls are parsed.

    For your own format, write a class with these five methods, and give an object of it as
    ``PromptedToolModel(protocol=...)``. A ``<think>`` block at the beginning of a reply is removed before ``parse``.
    """

    def instructions(self, offer: Offer, preamble: str | None) -> str:
        """Return the part of the system message that describes the tools.

        Args:
            offer: the tools, at least one.
            preamble: first sentences of the instructions. ``None`` means those of the protocol.
        """
        ...

    def said(self, message: AIMessage, offer: Offer) -> str:
        """Return an earlier message of the model as the text that it was. Without bound tools, ``offer`` is empty."""
        ...

    def result(self, message: ToolMessage) -> str:
        """Return the result of a tool as the text of a user message."""
        ...

    def options(self, offer: Offer, model: BaseChatModel) -> dict[str, Any]:
        """Return keyword arguments for the call of the inner ``model``, such as a schema or ``stop``."""
        ...

    def parse(self, text: str, offer: Offer) -> AIMessage:
        """Return the reply as the message that a model with native tool calls would have sent. Must not raise."""
        ...


def tool_names(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of tools in OpenAI's form, in order."""
    return [tool["function"]["name"] for tool in tools]


def offered(tools: Sequence[Tool], tool_choice: Any) -> Offer:
    """Return what the model may do in a reply, given the bound tools and ``tool_choice``.

    Args:
        tools: the bound tools, in OpenAI's form.
        tool_choice: ``None``/``"auto"`` (any tool or the answer), ``"none"`` (the answer), ``"any"``/
            ``"required"``/``True`` (any tool), a tool's name, or a provider's dict of these: OpenAI's
            ``{"type": "function", "function": {"name": ...}}``, Anthropic's ``{"type": "tool", "name": ...}``.

    Raises:
        ConfigError: ``tool_choice`` names no bound tool, or a tool is not a function.
    """
    for tool in tools:
        if "function" not in tool:
            raise ConfigError(
                f"{tool} is a tool that the provider itself runs, so it cannot be called in text; bind functions only"
            )
    choice = tool_choice
    if not (choice is None or isinstance(choice, bool | str | Mapping)):
        raise refusal("tool_choice", choice, "'auto', 'none', 'any', the name of a tool, or None")
    if isinstance(choice, Mapping):
        named = choice.get("function", choice)
        choice = (named.get("name") if isinstance(named, Mapping) else None) or choice.get("type")
    if choice in (None, False, "auto"):
        return Offer(tuple(tools), tuple(tools), True)
    if choice == "none":
        return Offer(tuple(tools), (), True)
    if choice in (True, "any", "required"):
        return Offer(tuple(tools), tuple(tools), False)
    chosen = tuple(tool for tool in tools if tool["function"]["name"] == choice)
    if not chosen:
        raise ConfigError(
            f"tool_choice={repr_of(tool_choice)} names none of {tool_names(tools)}; name one, or use 'any'"
        )
    return Offer(tuple(tools), chosen, False)
