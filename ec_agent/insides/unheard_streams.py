"""Tell whether nobody sees the parts of a stream that a chat model of LangChain is about to read.

A chat model made with ``streaming=True`` reads a stream even if it is asked for its answer in one piece (``invoke()``).
It then adds up all parts itself. Only callback handlers see them one by one; if none of them listens, the parts may
come in fewer pieces, and nobody can tell the difference.

LangChain does not say whether a model is invoked or streamed. So this looks at the functions that are being executed:
between ``BaseChatModel._generate_with_cache`` (or its async form), which adds up the parts, and the ``openai`` client
there must be nothing but ``langchain_openai``. Anything else, such as a subclass of ``ChatOpenAI`` with a ``_stream()``
of its own, may look at the parts; so may a subclass that makes messages of them itself.
``tests/insides/test_unheard_streams.py`` guards this.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

_OURS = "ec_agent."
_READERS = ("langchain_openai.", "openai.", _OURS)
_HELPERS = "openai.lib."  # they make events of parts, for response_format=
_MODELS = "langchain_core.language_models.chat_models"
_ADDING_UP = ("_generate_with_cache", "_agenerate_with_cache")
_HEARD = ("on_llm_new_token", "on_stream_event")
_SILENT = {getattr(kind, name, None) for kind in (BaseCallbackHandler, AsyncCallbackHandler) for name in _HEARD}
_MAKES_MESSAGES = "_convert_chunk_to_generation_chunk"
_PART_OF_LIMIT = 100


def held_for() -> float | None:
    """Return for how many seconds parts may be held back, to be passed on together. ``None`` if somebody may see them.

    Call it while the request is made. A model may wait for each part for a limited time (``stream_chunk_timeout``);
    the parts are held for a hundredth of it at most, so that a silence which it allows hardly ever counts as too long.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == _MODELS:
            if frame.f_code.co_name not in _ADDING_UP:
                return None
            return _limit(frame.f_locals)
        if not module.startswith(_READERS) or module.startswith(_HELPERS):
            return None
        frame = frame.f_back
    return None


def _limit(known: dict[str, Any]) -> float | None:
    handlers = getattr(known.get("run_manager"), "handlers", None)
    if handlers is None or any(map(_listens, handlers)):
        return None
    model = known.get("self")
    if not getattr(getattr(model, _MAKES_MESSAGES, None), "__module__", "").startswith(_READERS[0]):
        return None
    limit = getattr(model, "stream_chunk_timeout", None)
    return limit / _PART_OF_LIMIT if isinstance(limit, int | float) and limit > 0 else float("inf")


def _listens(handler: Any) -> bool:
    if type(handler).__module__.startswith(_OURS):
        return False
    return any(getattr(getattr(handler, name, None), "__func__", None) not in _SILENT for name in _HEARD)
