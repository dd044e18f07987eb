"""Make spans for LLM calls, from the layer that knows most: LangChain's callbacks, else the client's requests.

Such a span lies beneath the span of the rollout or tool that makes the call, but is never the current span: in an async
run LangChain starts and ends a call in different contexts, so the span could not be reset and would stay current for
whatever the node does next.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from ec_agent.capture import langchain as capture
from ec_agent.capture.calls import OpenCall, Request, current_call
from ec_agent.capture.shapes import Payload, get, listed, payload_of_message, said_once
from ec_agent.numbers.trajectory import Call
from ec_agent.tracing import attributes as names
from ec_agent.tracing.messages import answered_in, asked_in, input_messages, output_messages
from ec_agent.tracing.spans import Settings, end, fail, failed, harmless, tell


class CallSpans:
    """The spans of the LLM calls of one rollout, or of one choice.

    Attributes:
        settings: what is traced.
        of_calls: the span of each call that a recorder knows.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.of_calls: WeakKeyDictionary[OpenCall, Span] = WeakKeyDictionary()
        self._open: dict[int, Span] = {}
        self._requests: WeakKeyDictionary[OpenCall, Span] = WeakKeyDictionary()

    def start(self, operation: str, given: Mapping[str, Any], params: Mapping[str, Any], parent: Span | None) -> Span:
        """Begin a call's span, beneath the span ``parent`` if there is one.

        Args:
            operation: the conventions' name of the operation, such as ``"chat"``.
            given: attributes of the span.
            params: the request's parameters.
            parent: the span of a call during which this one is made.
        """
        model = given.get(names.REQUEST_MODEL)
        span = self.settings.begin(
            f"{operation} {model}" if model else operation,
            {names.OPERATION: operation, **given, **names.request(params)},
            context=None if parent is None else set_span_in_context(parent),
            kind=SpanKind.CLIENT,
        )
        self._open[id(span)] = span
        return span

    def end(self, span: Span) -> None:
        """End a call's span."""
        self._open.pop(id(span), None)
        end(span)

    def request_started(self, call: OpenCall, body: Mapping[str, Any]) -> None:
        """Begin the span of a raw client's call. LangChain's calls get theirs from its callbacks."""
        if "ls_model_type" not in call.info.metadata:
            with harmless():
                self._requests[call] = _asked(self, call, body)

    def request_ended(self, call: OpenCall, requests: Sequence[Request]) -> None:
        """End the span of a raw client's call, with what the client's requests show of it."""
        if (span := self._requests.pop(call, None)) is not None:
            with harmless():
                _answered(span, call, requests, self.settings.content)
            self.end(span)

    def close(self) -> None:
        """End the spans of calls that never reported an end: cancelled calls, and streams that were not read out."""
        while self._open:
            _, span = self._open.popitem()
            tell(span, {names.PARTIAL: True})
            end(span)

    def parent_of(self, call: OpenCall | None) -> Span | None:
        """Return the span of the call during which this one is made.

        ``None`` if there is none, or if that call is streaming: then this one runs beside it, not inside it.
        """
        above = call.outer if call is not None else None
        return self.of_calls.get(above) if above is not None and not above.speaking else None


_spans: ContextVar[CallSpans | None] = ContextVar("ec_agent_call_spans", default=None)


class CallHandler(BaseCallbackHandler):
    """A callback handler that makes a span for every chat model and LLM run; one object for the whole process.

    LangChain calls it after the handler that captures logprobs, because it uses what that one has read.
    """

    run_inline = True

    def __init__(self) -> None:
        self._runs: dict[UUID, tuple[CallSpans, Span, OpenCall | None]] = {}

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Called by LangChain when a chat model run starts."""
        self._start("chat", messages[0] if messages else [], run_id, kwargs)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Called by LangChain when a run of a completion model starts."""
        self._start("text_completion", [HumanMessage(prompt) for prompt in prompts[:1]], run_id, kwargs)

    def _start(self, operation: str, asked: Sequence[BaseMessage], run_id: UUID, kwargs: Mapping[str, Any]) -> None:
        if (spans := _spans.get()) is None:
            return
        params, metadata = kwargs.get("invocation_params") or {}, kwargs.get("metadata") or {}
        call = current_call.get()
        given = {
            names.REQUEST_MODEL: params.get("model") or params.get("model_name") or metadata.get("ls_model_name"),
            names.PROVIDER: names.provider(metadata),
            names.INPUT_MESSAGES: input_messages(asked) if spans.settings.content else None,
        }
        span = spans.start(operation, given, params, spans.parent_of(call))
        if call is not None:
            spans.of_calls[call] = span
        self._runs[run_id] = (spans, span, call)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Called by LangChain when a model run ends."""
        if (run := self._runs.pop(run_id, None)) is None:
            return
        spans, span, call = run
        try:
            generations = [generation for generations in response.generations for generation in generations]
            answers = [message for g in generations if isinstance(message := get(g, "message"), BaseMessage)]
            reasons = [reason for g in generations if (reason := _finish_reason(g))]
            tell(
                span,
                {**_identity(answers, call), **_used(call, generations), names.FINISH_REASONS: reasons or None},
            )
            if spans.settings.content and answers:
                tell(span, {names.OUTPUT_MESSAGES: output_messages(answers, reasons)})
        finally:
            spans.end(span)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Called by LangChain when a model run fails."""
        if (run := self._runs.pop(run_id, None)) is not None:
            spans, span, call = run
            tell(span, _usage_of(call.done if call is not None else None))
            failed(span, error)
            spans.end(span)


def _asked(spans: CallSpans, call: OpenCall, body: Mapping[str, Any]) -> Span:
    given = {
        names.REQUEST_MODEL: call.info.model,
        names.PROVIDER: "openai",  # the format the client speaks; who really serves the model is not known
        names.INPUT_MESSAGES: input_messages(asked_in(body)) if spans.settings.content else None,
    }
    operation = "text_completion" if "prompt" in body and "input" not in body else "chat"
    span = spans.of_calls[call] = spans.start(operation, given, body, spans.parent_of(call))
    return span


def _answered(span: Span, call: OpenCall, requests: Sequence[Request], content: bool) -> None:
    tell(span, _usage_of(call.done))
    if not requests:  # the call failed; the error went to the caller and is not known here
        fail(span, names.OTHER_ERROR)
        return
    last = requests[-1]
    parts = [last.response] if last.response is not None else last.chunks
    told = [choice for part in parts for choice in listed(get(part, "choices"))]
    ends = {get(choice, "index"): str(reason) for choice in told if (reason := get(choice, "finish_reason"))}
    reasons = list(ends.values())  # one per choice: some endpoints send the reason twice
    identity = {
        names.RESPONSE_ID: next((str(found) for part in parts if (found := get(part, "id"))), None),
        names.RESPONSE_MODEL: call.done.model if call.done is not None else None,
        names.FINISH_REASONS: reasons or None,
        names.PARTIAL: True if call.done is not None and call.done.partial else None,
    }
    tell(span, identity)
    if content:
        tell(span, {names.OUTPUT_MESSAGES: output_messages(answered_in(last.response, last.chunks), reasons)})


def _used(call: OpenCall | None, generations: Sequence[Any]) -> dict[str, Any]:
    if call is not None and call.closed:
        # A call that only passed on the answers of other calls made during it has used no tokens itself.
        return _usage_of(call.done)
    first = payload_of_message(get(generations[0], "message")) if generations else Payload()
    return {} if first.cache_hit else names.usage(first.prompt_tokens, first.cached_tokens, first.tokens)


def _usage_of(done: Call | None) -> dict[str, Any]:
    if done is None or done.from_cache:  # an answer from a cache used no tokens
        return {}
    return names.usage(done.prompt_tokens, done.cached_tokens, None if done.tokens is None else done.generated)


def _identity(answers: Sequence[BaseMessage], call: OpenCall | None) -> dict[str, Any]:
    told: Mapping[str, Any] = answers[0].response_metadata if answers else {}
    model = payload_of_message(answers[0]).model if answers else None
    if model and call is not None and call.done is not None:
        model = call.done.model
    own = answers[0].id if answers else None
    # Ids that begin with these prefixes were made by LangChain, not by the provider.
    given = told.get("id") or (None if own is None or own.startswith(("run-", "lc_")) else own)
    return names.present({names.RESPONSE_MODEL: model, names.RESPONSE_ID: given})


def _finish_reason(generation: Any) -> str | None:
    places = (get(generation, "message", "response_metadata"), get(generation, "generation_info"))
    spellings = ("finish_reason", "stop_reason", "done_reason")
    found = next((reason for place in places for name in spellings if (reason := get(place, name))), None)
    return None if found is None else said_once(str(found))


@contextmanager
def calls_traced(settings: Settings) -> Iterator[CallSpans | None]:
    """Inside the ``with`` block, make spans for LLM calls in this context and in copies of it, if calls are traced."""
    if not settings.calls:
        yield None
        return
    _install_hook()
    spans = CallSpans(settings)
    tokens = _spans.set(spans), _handler_var.set(_HANDLER)
    try:
        yield spans
    finally:
        _spans.reset(tokens[0])
        _handler_var.reset(tokens[1])
        spans.close()


_HANDLER = CallHandler()
_handler_var: ContextVar[BaseCallbackHandler | None] = ContextVar("ec_agent_call_handler", default=None)
_hook_lock = threading.Lock()
_hook_installed = False


def _install_hook() -> None:
    global _hook_installed
    capture.install_hook()  # first, since LangChain calls the handlers in the order of their hooks
    with _hook_lock:
        if not _hook_installed:
            register_configure_hook(_handler_var, inheritable=True)
            _hook_installed = True
