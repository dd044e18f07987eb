"""Keeping off a model what would make it stream; ``tests/rollouts/test_internals.py`` guards what we rely on."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler


def without_streaming(callbacks: Any) -> Any:
    """The callbacks less those that force token streaming, as a copy.

    They would make nested models stream, which some servers refuse together with logprobs, and would show
    the tokens of rollouts that lose.
    """

    def silent(handler: Any) -> bool:
        return not isinstance(handler, _StreamingCallbackHandler | _V2StreamingCallbackHandler)

    if isinstance(callbacks, BaseCallbackManager):
        manager = callbacks.copy()
        manager.handlers = [h for h in manager.handlers if silent(h)]
        manager.inheritable_handlers = [h for h in manager.inheritable_handlers if silent(h)]
        return manager
    return [handler for handler in callbacks or [] if silent(handler)]
