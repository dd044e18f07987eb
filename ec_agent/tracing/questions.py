"""Questions, rollouts and selections as OpenTelemetry spans."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Link, Span

from ec_agent.tracing import attributes as names
from ec_agent.tracing.calls import TracedRecorder, hearing_calls
from ec_agent.tracing.seam import QuestionTrace, RolloutTrace
from ec_agent.tracing.spans import Settings, end, entered, failed, harmless, tell
from ec_agent.tracing.tools import tools_traced


@dataclass(frozen=True, slots=True)
class SpanListener:
    """Makes spans of what it is told."""

    settings: Settings

    @contextmanager
    def question(self, agent: str, selector: str, thread: str | None) -> Iterator[QuestionTrace]:
        """A span around everything that is done for one question."""
        given = {
            names.OPERATION: "invoke_workflow",
            names.AGENT: agent,
            names.CONVERSATION: thread,
            names.SELECTOR: selector,
        }
        span = self.settings.begin(f"best_of_n {agent}", given)
        trace = SpanQuestion(self.settings, span, agent, selector)
        with entered(span), tools_traced(self.settings):
            try:
                yield trace
            finally:
                trace.close()


class SpanQuestion(QuestionTrace):
    """The span of one question, and those of its rollouts, which wait for their scores.

    Attributes:
        settings: what is traced.
        agent: name of the agent.
    """

    def __init__(self, settings: Settings, span: Span, agent: str, selector: str) -> None:
        self.settings, self.agent = settings, agent
        self._span, self._selector = span, selector
        self._held: dict[int, SpanRollout] = {}
        self._attempts: Counter[tuple[int, int]] = Counter()

    def asked(self, n: int) -> None:
        """It will be asked so many times."""
        tell(self._span, {names.N: n})

    def rollout(self, index: int, round: int) -> RolloutTrace:
        """An attempt at a rollout begins; the one before it is over for good."""
        if (before := self._held.pop(index, None)) is not None:
            before.end()
        attempt = self._attempts[round, index]
        self._attempts[round, index] += 1
        self._held[index] = rollout = SpanRollout(
            self, {names.INDEX: index, names.ROUND: round, names.ATTEMPT: attempt, names.SELECTOR: self._selector}
        )
        return rollout

    @contextmanager
    def selecting(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """A span around the choice, linked to the rollouts chosen from."""
        links = [
            Link(rollout.span.get_span_context(), {names.INDEX: index})
            for index, rollout in sorted(self._held.items())
            if rollout.span is not None
        ]
        span = self.settings.begin("ec_agent.select", {names.SELECTOR: self._selector}, links=links)

        def selected(receipt: Mapping[str, Any]) -> None:
            with harmless():
                verdict = names.selection(receipt)
                tell(span, verdict)
                tell(self._span, verdict)
            for each in receipt["candidates"]:
                if (rollout := self._held.pop(each["index"], None)) is not None:
                    rollout.scored(each, receipt)
                    rollout.end()

        with entered(span), hearing_calls(self.settings):
            yield selected

    def close(self) -> None:
        """End what no selection has ended."""
        while self._held:
            self._held.popitem()[1].end()


class SpanRollout(RolloutTrace):
    """The span of one attempt at a rollout: the current one while the agent runs, ended with its scores.

    Its end is the agent's; only its attributes wait for the selection.
    """

    recorder = TracedRecorder

    def __init__(self, question: SpanQuestion, given: Mapping[str, Any]) -> None:
        self.span: Span | None = None
        self._question, self._given = question, given
        self._ended: int | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Its span is the current one: what the agent and other instrumentations trace goes beneath."""
        question = self._question
        given = {names.OPERATION: "invoke_agent", names.AGENT: question.agent, **self._given}
        self.span = question.settings.begin(f"invoke_agent {question.agent}", given)
        try:
            with entered(self.span, ending=False), hearing_calls(question.settings):
                yield
        finally:
            self._ended = time.time_ns()

    def finished(self, record: Mapping[str, Any], failure: BaseException | None) -> None:
        """It is over; what is known before the selection."""
        if self.span is None:
            return
        used, facts = record["usage"], record["facts"]
        tell(
            self.span,
            {
                **names.usage(used["prompt_tokens"], used["cached_tokens"], used["generated_tokens"]),
                names.RESPONSE_MODEL: names.only([call["model"] for call in record["calls"]]),
                **names.request({"seed": names.only(facts["seeds"])}),
                **names.request({"temperature": names.only(facts["temperatures"])}),
                "ec_agent.rollout.end": record["end"]["kind"],
            },
        )
        if failure is not None:
            failed(self.span, failure)

    def scored(self, candidate: Mapping[str, Any], receipt: Mapping[str, Any]) -> None:
        """What the selection says of it."""
        if self.span is not None:
            tell(self.span, names.candidate(candidate, receipt["winner"]))
            if candidate["score"] is not None:
                verdict = names.fitting(names.evaluation(candidate, receipt["selector"], receipt["winner"]))
                with harmless():
                    # It has the time at which there was something to evaluate: later, it would lie outside the span.
                    self.span.add_event(names.EVALUATION, verdict, timestamp=self._ended)

    def end(self) -> None:
        """Let it go."""
        if self.span is not None:
            end(self.span, self._ended)
