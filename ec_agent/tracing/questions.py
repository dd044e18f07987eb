"""Make OpenTelemetry spans for questions, rollouts and choices."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from opentelemetry.trace import Link, Span

from ec_agent.capture.listeners import Came
from ec_agent.capture.open_calls import OpenCall
from ec_agent.rollouts.observer import AttemptId, Chosen, Observer, OpenedQuestion, told_later
from ec_agent.rollouts.record import Record
from ec_agent.tracing import attributes as names
from ec_agent.tracing.call_events import add_calls
from ec_agent.tracing.calls import CallSpans
from ec_agent.tracing.spans import Settings, earlier, end, entered, fail, failed, harmless, tell
from ec_agent.tracing.tools import tools_traced


class _Held:
    """A span that is kept open after its work has ended, because its scores are known only after the choice.

    When it ends at last, it gets the time at which the work ended.

    Attributes:
        span: the span.
        ended: when the work ended, in nanoseconds since the epoch; ``None`` before.
        calls: the spans of the LLM calls beneath it; ``None`` where calls are not traced.
        tools: the spans of tools that run on a worker.
    """

    def __init__(self, span: Span) -> None:
        self.span = span
        self.ended: int | None = None
        self.calls: CallSpans | None = None
        self.tools: dict[UUID, Span] = {}

    @contextmanager
    def running(self, settings: Settings) -> Iterator[None]:
        """Make it the current span inside the ``with`` block: spans of the agent and of other tools go beneath it."""
        if settings.calls:
            self.calls = CallSpans(settings)
        try:
            with entered(self.span, ending=False):
                yield
        finally:
            if self.calls is not None:
                self.calls.close()
            while self.tools:  # of a worker that died
                end(self.tools.popitem()[1])
            self.ended = earlier() or time.time_ns()

    def end(self) -> None:
        """End the span, as of the time at which its work ended."""
        end(self.span, self.ended)


class SpanObserver(Observer):
    """Makes the spans of one question.

    Args:
        settings: what is traced.
        question: the question.
    """

    reads_calls = True

    def __init__(self, settings: Settings, question: OpenedQuestion) -> None:
        self._settings, self._asked = settings, question
        self._span: Span | None = None
        self._choice: _Held | None = None
        self._rollouts: dict[int, tuple[AttemptId, _Held]] = {}

    @contextmanager
    def around_question(self) -> Iterator[None]:
        """Make a span around everything that is done for the question."""
        asked = self._asked
        given = {
            names.OPERATION: "invoke_workflow",
            names.AGENT: asked.agent,
            names.CONVERSATION: asked.thread,
            names.SELECTOR: asked.selector,
        }
        self._span = self._settings.begin(f"best_of_n {asked.agent}", given)
        with entered(self._span), tools_traced(self._settings):
            try:
                yield
            finally:
                self._end_choice()
                while self._rollouts:  # without a choice, nothing else ends these spans
                    self._rollouts.popitem()[1][1].end()

    def question_asked(self, name: str, n: int) -> None:
        """Set the number of rollouts on the question's span."""
        self._tell({names.N: n})

    @contextmanager
    def around_rollout(self, rollout: AttemptId) -> Iterator[None]:
        """Make a span around the attempt. It ends after the choice; the span of an earlier attempt ends now."""
        self._end_rollout(rollout.index)
        given = {
            names.OPERATION: "invoke_agent",
            names.AGENT: self._asked.agent,
            names.INDEX: rollout.index,
            names.ROUND: rollout.round,
            names.ATTEMPT: rollout.attempt,
            names.SELECTOR: self._asked.selector,
        }
        held = _Held(self._settings.begin(f"invoke_agent {self._asked.agent}", given))
        self._rollouts[rollout.index] = rollout, held
        with held.running(self._settings):
            yield

    def rollout_ended(self, rollout: AttemptId, record: Record, failure: BaseException | None) -> None:
        """Set on the attempt's span what is known before the choice: usage, models, parameters, how it ended."""
        if (held := self._held(rollout)) is None:
            return
        used, facts = record["usage"], record["facts"]
        tell(
            held.span,
            {
                **names.usage(used["prompt_tokens"], used["cached_tokens"], used["generated_tokens"]),
                names.RESPONSE_MODEL: names.only([call["model"] for call in record["calls"]]),
                **names.request({"seed": names.only(facts["seeds"])}),
                **names.request({"temperature": names.only(facts["temperatures"])}),
                "ec_agent.rollout.end": record["end"]["kind"],
            },
        )
        if self._settings.entropies:
            add_calls(held.span, record["calls"])
        if failure is not None:
            failed(held.span, failure)

    def call_started(self, rollout: AttemptId | None, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """Begin the span of a call, a selector's beneath the choice."""
        if (calls := self._calls(rollout)) is not None:
            calls.started(call, asked)

    def call_ended(self, rollout: AttemptId | None, call: OpenCall, came: Came, told_before: int) -> None:
        """End the span of a call."""
        if (calls := self._calls(rollout)) is not None:
            calls.ended(call, came)

    def tool_started(self, rollout: AttemptId | None, run: UUID, name: str) -> None:
        """Begin the span of a tool that runs on a worker. In this process ``tools`` does it, around the tool."""
        held = None if rollout is None or told_later() is None else self._held(rollout)
        if held is not None and self._settings.tools:
            given = {names.OPERATION: "execute_tool", names.TOOL: name, names.TOOL_TYPE: "function"}
            held.tools[run] = self._settings.begin(f"execute_tool {name}", given)

    def tool_ended(self, rollout: AttemptId | None, run: UUID, failed: bool) -> None:
        """End that span."""
        held = None if rollout is None else self._held(rollout)
        if held is not None and (span := held.tools.pop(run, None)) is not None:
            if failed:
                fail(span, names.OTHER_ERROR)
            end(span)

    @contextmanager
    def around_choice(self) -> Iterator[None]:
        """Make a span around the choice, linked to the spans of the rollouts."""
        links = [
            Link(held.span.get_span_context(), {names.INDEX: index})
            for index, (_, held) in sorted(self._rollouts.items())
        ]
        self._end_choice()
        given = {names.SELECTOR: self._asked.selector}
        self._choice = _Held(self._settings.begin("ec_agent.select", given, links=links))
        with self._choice.running(self._settings):
            yield

    def chosen(self, chosen: Chosen) -> None:
        """Set the receipt's columns on the spans of the question, the choice and the rollouts, and end the last two."""
        receipt = chosen.selection.to_dict()
        with harmless():
            verdict = names.selection(receipt)
            self._tell(verdict)
            if self._choice is not None:
                tell(self._choice.span, verdict)
        self._end_choice()
        for candidate in receipt["candidates"]:
            if candidate["index"] in self._rollouts:
                self._score(self._rollouts[candidate["index"]][1], candidate, receipt)
                self._end_rollout(candidate["index"])

    def _score(self, held: _Held, candidate: Mapping[str, Any], receipt: Mapping[str, Any]) -> None:
        tell(held.span, names.candidate(candidate, receipt["winner"]))
        if candidate["score"] is not None:
            verdict = names.fitting(names.evaluation(candidate, receipt["selector"], receipt["winner"]))
            with harmless():
                # The event gets the time at which the rollout ended. The present time would lie outside the span.
                held.span.add_event(names.EVALUATION, verdict, timestamp=held.ended)

    def _held(self, rollout: AttemptId) -> _Held | None:
        """Return the span of an attempt, ``None`` if it has ended."""
        which, held = self._rollouts.get(rollout.index, (None, None))
        return held if which == rollout else None

    def _calls(self, rollout: AttemptId | None) -> CallSpans | None:
        held = self._choice if rollout is None else self._held(rollout)
        return None if held is None else held.calls

    def _tell(self, attributes: Mapping[str, Any]) -> None:
        if self._span is not None:
            tell(self._span, attributes)

    def _end_choice(self) -> None:
        if self._choice is not None:
            self._choice.end()
            self._choice = None

    def _end_rollout(self, index: int) -> None:
        if index in self._rollouts:
            self._rollouts.pop(index)[1].end()
