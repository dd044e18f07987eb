"""The embedded model: a real llama.cpp server in this process, and a chat model on it or on any other endpoint.

Importing this package loads none of it; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ec_agent.support.lazy import lazy_names

if TYPE_CHECKING:
    from ec_agent.local.chat_model import LocalChatModel as LocalChatModel
    from ec_agent.local.fetch import fetch_model as fetch_model
    from ec_agent.local.server import LocalServer as LocalServer
    from ec_agent.local.server import shared_server as shared_server

_HOMES = {
    "LocalChatModel": "chat_model",
    "LocalServer": "server",
    "fetch_model": "fetch",
    "shared_server": "server",
}

__all__ = ["LocalChatModel", "LocalServer", "fetch_model", "shared_server"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
