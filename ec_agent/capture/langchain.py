"""Records LLM calls and tools through LangChain's callbacks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook
from langgraph.errors import GraphBubbleUp

from ec_agent.capture.filters import call_info
from ec_agent.capture.guard import Coming
from ec_agent.capture.known_answers import Answer
from ec_agent.capture.open_calls import OpenCall, current_call
from ec_agent.capture.recorder import current_recorder, listening
from ec_agent.capture.shapes import (
    MessageParts,
    Payload,
    first_of_messages,
    get,
    payload_of_message,
    payload_of_response,
    without_echo,
)


class CaptureHandler(BaseCallbackHandler):
    """Reports every run of a chat model, a completion model or a tool to the recorder of the current context.

    One handler serves the whole process. The context in which a run starts decides which rollout it belongs to, so
    concurrent and nested rollouts are not mixed.
    """

    raise_error = True  # otherwise LangChain would swallow MissingLogprobsError, which must stop the rollout
    run_inline = True  # runs in the caller's context, so that the openai client sees the variables set here
    # LangChain then skips this handler for these events, which come at every step of every graph.
    ignore_chain = ignore_retriever = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        # Weak references, because LangChain reports no end for a cancelled run, and its call would stay here for ever.
        # The recorder keeps the call as long as it is needed.
        self._open: WeakValueDictionary[UUID, OpenCall] = WeakValueDictionary()

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the start of a chat model run."""
        self._start({"messages": messages[0] if messages else []}, run_id, kwargs)

    def on_llm_start(self, serialized: dict[str, Any], prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the start of a completion model run."""
        prompt = prompts[0] if prompts else None
        if (call := self._start({"prompt": prompt}, run_id, kwargs)) is not None:
            call.prompt = prompt

    def _start(self, question: Mapping[str, Any], run_id: UUID, kwargs: Mapping[str, Any]) -> OpenCall | None:
        recorder = current_recorder.get()
        if recorder is None:
            return None
        params = kwargs.get("invocation_params") or {}
        metadata = kwargs.get("metadata") or {}
        model = params.get("model") or params.get("model_name") or metadata.get("ls_model_name")
        info = call_info(metadata, kwargs.get("tags"), model)
        around = self._open.get(kwargs.get("parent_run_id") or run_id)  # its own is not there yet
        call = self._open[run_id] = recorder.begin(info, params, kwargs.get("batch_size") or 1, around, question)
        call.said = (Answer.of_run(run_id),)  # while it streams, only the id of the run identifies its messages
        current_call.set(call)
        return call

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the start of a tool, after asking the guard whether it may run."""
        if (recorder := current_recorder.get()) is not None:
            name = str((serialized or {}).get("name") or kwargs.get("name") or "tool")
            recorder.check(Coming("tool", name))
            recorder.count_tool_call(run_id, name, input_str)
            if (told := recorder.told) is not None:
                told.tool_started(run_id, name)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the result of a tool, which may be an error."""
        if (recorder := current_recorder.get()) is not None:
            for each in (recorder, *listening.get()):
                each.tools.end(run_id, output)
            if (told := recorder.told) is not None:
                told.tool_ended(run_id, failed=getattr(output, "status", None) == "error")

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the error of a tool. LangGraph's interrupts are errors too, but a tool that asks has not failed."""
        if (recorder := current_recorder.get()) is not None:
            for each in (recorder, *listening.get()):
                each.tools.fail(run_id, error)
            if (told := recorder.told) is not None:
                told.tool_ended(run_id, failed=not isinstance(error, GraphBubbleUp))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record a part of a streamed answer.

        From now on, other calls in the context of this run may be made by the code that reads the stream.
        """
        call = self._open.get(run_id)
        if call is not None:
            call.speaking = True
            _add_part(call, kwargs.get("chunk"))
            call.recorder.answered(call)
            if (told := call.recorder.told) is not None and told.parts and call.counted:
                call.parts += 1
                told.call_streamed(call)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record a part of a streamed answer in LangChain's event protocol."""
        self.on_llm_new_token(event, run_id=run_id)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the end of a run, with its answer."""
        call = self._open.pop(run_id, None)
        if call is not None:
            call.recorder.asking += _asking(response)
            call.recorder.end(call, _read(call, response), response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the failure of a run. Tokens that it streamed before count."""
        call = self._open.pop(run_id, None)
        if call is not None:
            partial = kwargs.get("response")
            payload = _read(call, partial) if isinstance(partial, LLMResult) else None
            some = payload is not None and (payload.entries or payload.tokens)
            call.recorder.end(call, replace(payload, partial=True) if payload is not None and some else None, error)


def _asking(response: LLMResult) -> list[AIMessage]:
    messages = [get(generation, "message") for generations in response.generations for generation in generations]
    return [message for message in messages if isinstance(message, AIMessage) and message.tool_calls]


def _add_part(call: OpenCall, chunk: Any) -> None:
    message = get(chunk, "message")
    if message is None or call.batch.requests:  # a recorded request is more exact than the sum that LangChain makes
        return
    call.stream_parts = call.stream_parts or MessageParts()
    with suppress(Exception):  # an error of our reading must not end the user's run
        call.stream_parts.add(message, get(chunk, "generation_info"))


def _read(call: OpenCall, response: LLMResult) -> Payload | None:
    """Read the answer of a LangChain run, and note in the call what identifies it."""
    generations = [generation for prompt in response.generations for generation in prompt]
    payloads = [payload_of_message(get(each, "message"), get(each, "generation_info")) for each in generations]
    if not payloads:
        return None
    messages = [get(each, "message") or {"content": get(each, "text")} for each in generations]
    call.said = tuple(Answer.of(*each) for each in zip(payloads, messages, strict=True))
    for message, answer in zip(messages, call.said, strict=True):
        call.recorder.returned.note(message, answer)
    call.text = str(get(generations[0], "text") or "")
    if call.stream_parts is not None and len(payloads) == 1:
        payloads = [call.stream_parts.counted_once(payloads[0])]
    call.stream_parts = None
    whole = payloads[0]  # each of several generations repeats the usage of the request
    if whole.tokens is None and call.batch.size == 1:  # with several prompts, this would be the usage of all of them
        usage = payload_of_response({"usage": get(response.llm_output, "token_usage")})
        whole = replace(whole, tokens=usage.tokens, prompt_tokens=usage.prompt_tokens)
    if len(payloads) == 1:
        if whole.tokens is None or len(whole.entries) <= whole.tokens:
            return whole
        return replace(whole, entries=without_echo([whole.entries], whole.tokens))
    return first_of_messages([whole, *payloads[1:]], messages)


HANDLER = CaptureHandler()


def _not_ours(record: logging.LogRecord) -> bool:
    return not (isinstance(record.args, tuple) and record.args[:1] == (CaptureHandler.__name__,))


# The handler raises on purpose, to end a rollout. Without this filter, LangChain would log each time that it failed.
logging.getLogger("langchain_core.callbacks.manager").addFilter(_not_ours)

handler_var: ContextVar[BaseCallbackHandler | None] = ContextVar("ec_agent_handler", default=None)
_hook_lock = threading.Lock()
_hook_installed = False


def install_hook() -> None:
    """Make LangChain add the handler to every callback manager while ``handler_var`` is set.

    A handler in ``config["callbacks"]`` would miss runs with ``callbacks=[]``, and models called by ``generate()``.
    """
    global _hook_installed
    with _hook_lock:
        if not _hook_installed:
            register_configure_hook(handler_var, inheritable=True)
            _hook_installed = True
