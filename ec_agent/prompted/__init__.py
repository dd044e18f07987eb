"""Tool calls as text: a chat model around any other, so that the tokens of its tool calls come with logprobs.

Importing this package loads none of it; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ec_agent.prompted.chat_model import PromptedToolModel as PromptedToolModel
    from ec_agent.prompted.hermes import HermesProtocol as HermesProtocol
    from ec_agent.prompted.json_schema import JsonSchemaProtocol as JsonSchemaProtocol
    from ec_agent.prompted.protocol import Offer as Offer
    from ec_agent.prompted.protocol import ToolProtocol as ToolProtocol

_HOMES = {
    "HermesProtocol": "hermes",
    "JsonSchemaProtocol": "json_schema",
    "Offer": "protocol",
    "PromptedToolModel": "chat_model",
    "ToolProtocol": "protocol",
}

__all__ = ["HermesProtocol", "JsonSchemaProtocol", "Offer", "PromptedToolModel", "ToolProtocol"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
