"""Hide rollouts from the streams of the outer graph, and show the winner there.

LangChain's and LangGraph's token and event streams listen by callback handlers, which nested runs inherit. Inside a
rollout these handlers would do two kinds of harm: they make the rollout's models stream, which some servers refuse
together with logprobs, and they would show the tokens of losers.

``tests/insides/test_callback_streams.py`` guards what this relies on.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_callback_manager_for_config
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler
from langchain_core.tracers.event_stream import _AstreamEventsCallbackHandler
from langchain_core.tracers.log_stream import LogStreamCallbackHandler

from ec_agent.support.plans import Plan, Step

_MANAGED = signature(BaseCallbackManager.__init__).parameters


def without_streaming(callbacks: Any) -> Any:
    """Return a copy of the callbacks without the handlers of token and event streams."""
    if isinstance(callbacks, BaseCallbackManager):
        return _only(callbacks, lambda handler: not _streams(handler))
    return [handler for handler in callbacks or [] if not _streams(handler)]


def has_streams(callbacks: Any) -> bool:
    """Whether a token or event stream has a handler among the callbacks. Such a handler makes chat models stream."""
    handlers = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or []
    return any(map(_streams, handlers))


def heard(config: RunnableConfig) -> bool:
    """Whether any callback handler would hear a run with this config that starts here.

    LangChain is asked for the handlers as it asks itself when a run starts: to those in the config it adds those that
    this context, the environment or its settings ask for.
    """
    return bool(get_callback_manager_for_config(config).handlers)


def event_streams(callbacks: Any) -> BaseCallbackManager | None:
    """Return a copy with only the handlers of event streams (``astream_events``, ``astream_log``).

    ``None`` where there is no such handler.
    """
    if not isinstance(callbacks, BaseCallbackManager):
        return None
    manager = _only(callbacks, lambda h: isinstance(h, _AstreamEventsCallbackHandler | LogStreamCallbackHandler))
    return manager if manager.handlers else None


def tell(manager: BaseCallbackManager, name: str, data: Any) -> Plan[None]:
    """Send a custom event to these callbacks only.

    LangChain's ``dispatch_custom_event`` would send it to tracers as well, and they have it already.
    """
    run = manager.parent_run_id
    yield Step(
        lambda: _sync(manager).on_custom_event(name, data, run),
        lambda: _told(manager, lambda heard: heard.on_custom_event(name, data, run)),
    )


def tell_of_answer(manager: BaseCallbackManager, message: AIMessage) -> Plan[None]:
    """Send a model's finished answer to these callbacks, as a call that starts and ends now.

    Event streams show the winner's answer in this way: they did not see the rollout that produced it.
    """
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
    """Return the manager in its synchronous form: a sync node of an async graph gets an async manager."""
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
