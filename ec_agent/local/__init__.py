"""The embedded model: a llama.cpp server in this process, and a chat model for it or for any other endpoint.

Importing this package is fast: each name is imported when it is first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
