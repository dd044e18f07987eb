"""What a prompt protocol is, and what it is told of the tools on offer."""

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
    """The tools of one model call.

    Attributes:
        tools: all bound tools, OpenAI-style: ``{"type": "function", "function": {"name": ...}}``.
        choices: those that ``tool_choice`` leaves.
        may_answer: whether an answer will do as well; ``False`` where a tool must be called.
    """

    tools: tuple[Tool, ...] = ()
    choices: tuple[Tool, ...] = ()
    may_answer: bool = True

    @property
    def names(self) -> list[str]:
        """What a reply may call, in order: every bound tool, or none under ``tool_choice="none"``."""
        return tool_names(self.tools) if self.choices else []


@runtime_checkable
class ToolProtocol(Protocol):
    """How tools, tool calls and tool results are written as text, and read again.

    Implement the five methods for a format of your own and give an object of the class as
    ``PromptedToolModel(protocol=...)``. Blocks in ``<think>`` at the start of a reply are taken off before ``parse``.
    """

    def instructions(self, offer: Offer, preamble: str | None) -> str:
        """What the system message says of the tools.

        Args:
            offer: the tools; there is at least one.
            preamble: opens the instructions; ``None`` is the protocol's own.
        """
        ...

    def said(self, message: AIMessage, offer: Offer) -> str:
        """An earlier message of the model as the text it was; ``offer`` is empty where no tools are bound."""
        ...

    def result(self, message: ToolMessage) -> str:
        """A tool's result as the text of a user turn."""
        ...

    def options(self, offer: Offer, model: BaseChatModel) -> dict[str, Any]:
        """Keyword arguments for the call of the inner ``model``, such as a schema or ``stop``."""
        ...

    def parse(self, text: str, offer: Offer) -> AIMessage:
        """The reply as the message a tool-calling model would have sent. Must not raise."""
        ...


def tool_names(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of OpenAI-style tools, in order."""
    return [tool["function"]["name"] for tool in tools]


def offered(tools: Sequence[Tool], tool_choice: Any) -> Offer:
    """What a reply may be under a ``tool_choice``.

    Args:
        tools: OpenAI-style tools.
        tool_choice: ``None``/``"auto"`` (any tool or the answer), ``"none"`` (the answer), ``"any"``/
            ``"required"``/``True`` (any tool), a tool's name, or a provider's dict of these: OpenAI's
            ``{"type": "function", "function": {"name": ...}}``, Anthropic's ``{"type": "tool", "name": ...}``.

    Raises:
        ConfigError: the choice names no such tool, or a tool is no function.
    """
    for tool in tools:
        if "function" not in tool:
            raise ConfigError(f"{tool} is a tool that the provider runs itself and cannot be prompted; bind functions")
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
