"""Tool calls as text: a chat model around any other, so that the tokens of its tool calls come with logprobs.

Importing this package loads none of it; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ec_agent.support.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
