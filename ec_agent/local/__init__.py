"""The embedded model: a real llama.cpp server in this process, and a chat model on it or on any other endpoint.

Importing this package loads none of it; each name is loaded when it is first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
