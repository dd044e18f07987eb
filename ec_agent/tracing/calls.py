"""Make spans for LLM calls, as a recorder hears of them: LangChain's, and requests of raw clients.

Such a span lies beneath the span of the rollout or tool that makes the call, but is never the current span: in an async
run LangChain starts and ends a call in different contexts, so the span could not be reset and would stay current for
whatever the node does next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from ec_agent.capture.listeners import Came
from ec_agent.capture.open_calls import OpenCall, Request
from ec_agent.capture.shapes import get, listed, payload_of_message, said_once
from ec_agent.numbers.trajectory import Call
from ec_agent.tracing import attributes as names
from ec_agent.tracing.messages import answered_in, asked_in, input_messages, output_messages
from ec_agent.tracing.spans import Settings, end, fail, failed, harmless, tell


class CallSpans:
    """The spans of the LLM calls of one rollout, or of one choice.

    Args:
        settings: what is traced.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_calls: WeakKeyDictionary[OpenCall, Span] = WeakKeyDictionary()
        self._open: dict[OpenCall, Span] = {}

    def started(self, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """Begin the span of a call with these parameters."""
        with harmless():
            model, parent = call.info.model, self._parent_of(call)
            completes = "prompt" in asked and "input" not in asked and "messages" not in asked
            operation = "text_completion" if completes else "chat"
            given = {
                names.OPERATION: operation,
                names.REQUEST_MODEL: model,
                # Of a raw client's: the format the client speaks; who really serves the model is not known.
                names.PROVIDER: "openai" if call.bare else names.provider(call.info.metadata),
                names.INPUT_MESSAGES: input_messages(asked_in(asked)) if self._settings.content else None,
                **names.request(asked),
            }
            self._open[call] = self._of_calls[call] = self._settings.begin(
                f"{operation} {model}" if model else operation,
                given,
                context=None if parent is None else set_span_in_context(parent),
                kind=SpanKind.CLIENT,
            )

    def ended(self, call: OpenCall, came: Came) -> None:
        """End the span of a call, with what the call came back with."""
        if (span := self._open.pop(call, None)) is None:
            return
        with harmless():
            tell(span, _usage_of(call.done))
            if isinstance(came, LLMResult):
                _returned(span, call, came, self._settings.content)
            elif isinstance(came, BaseException):
                failed(span, came)
            elif call.bare:
                _answered(span, call, came, self._settings.content)
            else:  # LangChain does not report the end of a cancelled run
                tell(span, {names.PARTIAL: True})
        end(span)

    def close(self) -> None:
        """End the spans of calls that never reported an end: cancelled calls, and streams that were not read out."""
        while self._open:
            _, span = self._open.popitem()
            tell(span, {names.PARTIAL: True})
            end(span)

    def _parent_of(self, call: OpenCall) -> Span | None:
        """Return the span of the call during which this one is made.

        ``None`` if there is none, or if that call is streaming: then this one runs beside it, not inside it.
        """
        above = call.outer
        return self._of_calls.get(above) if above is not None and not above.speaking else None


def _returned(span: Span, call: OpenCall, result: LLMResult, content: bool) -> None:
    generations = [generation for generations in result.generations for generation in generations]
    answers = [message for g in generations if isinstance(message := get(g, "message"), BaseMessage)]
    reasons = [reason for g in generations if (reason := _finish_reason(g))]
    tell(span, {**_identity(answers, call), names.FINISH_REASONS: reasons or None})
    if content and answers:
        tell(span, {names.OUTPUT_MESSAGES: output_messages(answers, reasons)})


def _answered(span: Span, call: OpenCall, requests: Sequence[Request], content: bool) -> None:
    if not requests:  # the call failed; the error went to the caller and is not known here
        fail(span, names.OTHER_ERROR)
        return
    last = requests[-1]
    parts = [last.response] if last.response is not None else last.parts
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
        tell(span, {names.OUTPUT_MESSAGES: output_messages(answered_in(last.response, last.parts), reasons)})


def _usage_of(done: Call | None) -> dict[str, Any]:
    if done is None or done.from_cache:  # an answer from a cache used no tokens
        return {}
    return names.usage(done.prompt_tokens, done.cached_tokens, None if done.tokens is None else done.generated)


def _identity(answers: Sequence[BaseMessage], call: OpenCall) -> dict[str, Any]:
    told: Mapping[str, Any] = answers[0].response_metadata if answers else {}
    model = payload_of_message(answers[0]).model if answers else None
    if model and call.done is not None:
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
