"""Keeping streams from what is not meant for them; ``tests/rollouts/test_internals.py`` guards what we rely on.

Token and event streams listen by callback handlers. In a rollout these would make nested models stream, which some
servers refuse together with logprobs, and would show what losers said.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler
from langchain_core.tracers.event_stream import _AstreamEventsCallbackHandler
from langchain_core.tracers.log_stream import LogStreamCallbackHandler

from ec_agent.support.plans import Plan, Step

_MANAGED = signature(BaseCallbackManager.__init__).parameters


def without_streaming(callbacks: Any) -> Any:
    """The callbacks less those of streams, as a copy."""
    if isinstance(callbacks, BaseCallbackManager):
        return _only(callbacks, lambda handler: not _streams(handler))
    return [handler for handler in callbacks or [] if not _streams(handler)]


def has_streams(callbacks: Any) -> bool:
    """Whether those of a stream are among the callbacks: they make a chat model stream."""
    handlers = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or []
    return any(map(_streams, handlers))


def event_streams(callbacks: Any) -> BaseCallbackManager | None:
    """The callbacks of event streams (``astream_events``, ``astream_log``) alone, as a copy; ``None`` without any."""
    if not isinstance(callbacks, BaseCallbackManager):
        return None
    manager = _only(callbacks, lambda h: isinstance(h, _AstreamEventsCallbackHandler | LogStreamCallbackHandler))
    return manager if manager.handlers else None


def tell(manager: BaseCallbackManager, name: str, data: Any) -> Plan[None]:
    """Tell them of a custom event. Not dispatched: that would tell tracers, too, which have heard of it."""
    run = manager.parent_run_id
    yield Step(
        lambda: _sync(manager).on_custom_event(name, data, run),
        lambda: _told(manager, lambda heard: heard.on_custom_event(name, data, run)),
    )


def tell_of_answer(manager: BaseCallbackManager, message: AIMessage) -> Plan[None]:
    """Tell them of a model's answer, as of a call that starts and ends now."""
    name = str(message.response_metadata.get("model_name") or "model")
    result = LLMResult(generations=[[ChatGeneration(message=message)]])
    serialized = {"name": name}

    def sync() -> None:
        for run in _sync(manager).on_chat_model_start(serialized, [[]], name=name):
            run.on_llm_end(result)

    async def wait() -> None:
        if not isinstance(manager, AsyncCallbackManager):
            sync()
            return
        for run in await manager.on_chat_model_start(serialized, [[]], name=name):
            await run.on_llm_end(result)

    yield Step(sync, wait)


def _sync(manager: BaseCallbackManager) -> CallbackManager:
    """The same for synchronous code, which may be called in a node of an async graph."""
    if isinstance(manager, CallbackManager):
        return manager
    return CallbackManager(**{name: value for name, value in vars(manager).items() if name in _MANAGED})


async def _told(manager: BaseCallbackManager, how: Callable[[Any], Any]) -> None:
    told = how(manager)
    if isinstance(manager, AsyncCallbackManager):
        await told


def _streams(handler: Any) -> bool:
    return isinstance(handler, _StreamingCallbackHandler | _V2StreamingCallbackHandler)


def _only(callbacks: BaseCallbackManager, kept: Callable[[Any], bool]) -> BaseCallbackManager:
    manager = callbacks.copy()
    manager.handlers = [handler for handler in manager.handlers if kept(handler)]
    manager.inheritable_handlers = [handler for handler in manager.inheritable_handlers if kept(handler)]
    return manager
