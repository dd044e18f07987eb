"""Lets any chat model call tools in the text of its replies, so that the tokens of tool calls have logprobs.

Importing this package is fast: each name is imported when it is first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
