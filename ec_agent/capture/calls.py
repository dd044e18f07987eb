"""LLM calls in progress, and the client requests made on their behalf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ec_agent.capture.answers import Answer, choices_of, made_of, marks_of
from ec_agent.capture.asked import RequestParams
from ec_agent.capture.believing import account_of, same_tokens, text_in
from ec_agent.capture.filters import CallInfo
from ec_agent.capture.shapes import (
    MessageParts,
    Payload,
    finished,
    merge_payloads,
    payload_of_response,
    payload_of_stream,
    pick,
)
from ec_agent.capture.taken import TakenLogprobs, restored
from ec_agent.numbers.trajectory import Call

if TYPE_CHECKING:
    from ec_agent.capture.recorder import Recorder


@dataclass(eq=False, slots=True)
class Request:
    """One request of an OpenAI client.

    Attributes:
        asked: what it asks for.
        sampled: whether the rollout's sampling parameters were set on it.
        sent: how often it was sent: again in another way, where it was refused.
        response: the whole answer, where it came whole.
        chunks: the parts of a streamed one, so far.
        marked: whether the mark came that ends a stream.
        cut: its end has not been seen: it is still being read, or its reader left.
        taken: the logprobs that a transport took out of a whole answer, and of chunks yet to come.
    """

    asked: RequestParams = field(default_factory=RequestParams)
    sampled: bool = False
    sent: int = 0
    response: Any = None
    chunks: list[Any] = field(default_factory=list)
    marked: bool = False
    cut: bool = False
    taken: TakenLogprobs = field(default_factory=TakenLogprobs)

    def payload(self) -> Payload:
        """What came back, as far as it came."""
        whole = self.response is not None
        answer = restored(self.response, self.taken.whole)
        several = self.asked.prompts, self.asked.unreturned
        payload = payload_of_response(answer, *several) if whole else payload_of_stream(self.chunks, *several)
        return replace(payload, partial=self.cut or not (whole or finished(self.chunks, self.marked)))

    def text(self) -> str:
        """The text of it, as far as it came."""
        return text_in(self.chunks if self.response is None else [self.response])

    @property
    def answered(self) -> bool:
        """Whether anything came back at all."""
        return self.response is not None or bool(self.chunks) or self.cut


@dataclass(eq=False, slots=True)
class Batch:
    """LangChain runs that start together, as ``generate([a, b])`` starts them: one run as a rule.

    Attributes:
        size: how many runs.
        requests: the client requests made on their behalf; whose is whose shows only in their order.
        over: one of them has ended, which all of them do together.
    """

    size: int = 1
    requests: list[Request] = field(default_factory=list)
    over: bool = False


OVER = Batch(over=True)
"""That of every call that has ended: no request is made for it any more."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class OpenCall:
    """An LLM call in progress: a LangChain run, or a bare request of an OpenAI client.

    Attributes:
        recorder: whose record it is in.
        info: what was known at its start.
        counted: whether the filter counts it.
        sequence: its place in call-start order.
        params: the sampling parameters it was made with, as far as known.
        bare: whether it is a client's request that no LangChain run made.
        asked: what else it asks for, as far as known.
        prompt: what a completion model is asked.
        batch: the runs it started with, and their requests.
        place: its place among those.
        text: the text in the first of the messages that its own layer gave back.
        stream_parts: what the parts of its stream told, where no request of it was heard.
        said: the answers in the messages that its own layer gave back.
        answers: what it came back with, told briefly: to know a message by that somebody made of it.
        marks: what its tokens were, told briefly, as long as a call around it may only pass them on.
        outer: the call in whose course it was made.
        inside: the calls that it made itself, as a chat model around others does.
        beside: the calls made in its context since it began to stream: its reader's, as a rule.
        speaking: whether it has begun to stream.
        parts: how many parts of its answer LangChain has passed on, where somebody wants to know.
        sampled: whether the rollout's sampling parameters were applied to one of its requests.
        choice: of several answers, which one counts: the one that the agent went on with, as far as is seen.
        several: what came back, where that was several answers.
        done: what it became; ``None`` while it runs or when nothing came back.
        of: the call itself, where this is its entry in the record of somebody who listens along.
        twins: those entries.
    """

    recorder: Recorder
    info: CallInfo
    counted: bool
    sequence: float
    started: float
    params: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False
    asked: RequestParams = field(default_factory=RequestParams)
    prompt: str | None = None
    batch: Batch = field(default_factory=Batch)
    place: int = 0
    text: str = ""
    stream_parts: MessageParts | None = None
    said: tuple[Answer, ...] = ()
    answers: tuple[Answer, ...] = ()
    marks: bytes = b""
    outer: OpenCall | None = None
    inside: list[OpenCall] = field(default_factory=list)
    beside: list[OpenCall] = field(default_factory=list)
    speaking: bool = False
    parts: int = 0
    sampled: bool = False
    closed: bool = False
    choice: int = 0
    several: Payload | None = None
    done: Call | None = None
    cache_hit: bool = False
    of: OpenCall | None = None
    twins: list[OpenCall] = field(default_factory=list)

    @property
    def source(self) -> OpenCall:
        """The call itself."""
        return self.of or self

    @property
    def asks_logprobs(self) -> bool:
        """Whether its requests are to ask for logprobs."""
        return any(each.counted and each.recorder.requests.logprobs for each in (self, *self.twins))

    def answered(self) -> list[Request]:
        """Its requests that brought something back; the runs of a batch are served in turn."""
        return [request for request in self.batch.requests[self.place :: self.batch.size] if request.answered]

    def read(self, payload: Payload | None) -> Payload | None:
        """What the call returned: what its own layer saw, or its requests, whichever tells more.

        Args:
            payload: what its own layer saw; ``None`` where that failed or saw nothing.
        """
        answered, own = self.answered(), payload
        self.answers = self.said
        if payload is not None and payload.entries and self.batch.size > 1:
            payload = self._in_batch(payload)
        elif answered:
            payloads = [request.payload() for request in answered]
            if payload is None or not payload.entries:  # else the messages tell it
                self.answers += tuple(Answer.of(each) for each in payloads)
            self.answers += tuple(answer for each in payloads for answer in choices_of(each))
            below = merge_payloads(payloads)
            if payload is None or len(answered) > 1:  # which is more than a layer above reports
                payload = below
            else:
                payload = account_of(below, payload, self.text, answered[0].text)
        if payload is None:
            return None
        if len(payload.alternatives) > 1:
            payload = pick(payload, self.choice)
        self.text = ""  # it may be long, and has been compared
        # What is passed on is the message, where it has kept its logprobs.
        self._mark(own if own is not None and own.entries else payload)
        asked = [request.asked for request in answered] or [self.asked]
        return replace(
            payload,
            top_k=max((each.top_k for each in asked if each.top_k), default=None),
            constrained=self.asked.constrained or any(each.constrained for each in asked),
            partial=payload.partial or any(request.cut for request in answered),
        )

    def _in_batch(self, payload: Payload) -> Payload:
        """The account of the request whose tokens these are, where one of the batch's has them."""
        for request in self.batch.requests:
            if request.answered and same_tokens(heard := request.payload(), payload):
                return account_of(heard, payload, self.text, request.text)
        return payload

    def _mark(self, payload: Payload) -> None:
        """Keep what the tokens are told by, where a call around this one or in its course may have the same."""
        if self.outer is not None or self.inside or self.beside:
            self.marks = marks_of(payload.entries)

    def passed_on(self, done: Call) -> bool:
        """Whether a chat model around other chat models only passed on what they answered, or some of them did."""
        inside = [inner for inner in self.inside if inner.done is not None]
        if not inside or self.answered():
            return False
        if self.marks:
            return made_of(self.marks, [inner.marks for inner in inside]) is not None
        counts = [inner.done.tokens for inner in inside if inner.done is not None]
        known = [count for count in counts if count is not None]
        passed = [*known, sum(known), *(answer.tokens for inner in inside for answer in inner.said)]
        return done.tokens is None or len(known) < len(counts) or done.tokens in passed

    def absorbed(self) -> list[OpenCall]:
        """Calls taken for those of its stream's reader that it made itself: it says what they said."""
        beside = [other for other in self.beside if other.done is not None and other.marks]
        if not beside or not self.marks:
            return []
        own = b"".join(marks_of(request.payload().entries) for request in self.answered())
        parts = made_of(self.marks, [own, *(other.marks for other in beside)])
        return [beside[place - 1] for place in parts or () if place > 0]


current_call: ContextVar[OpenCall | None] = ContextVar("ec_agent_call", default=None)


def open_call() -> OpenCall | None:
    """The call in whose course this context is: the innermost that has not ended."""
    call = current_call.get()
    while call is not None and (call.closed or call.batch.over):
        call = call.outer
    return call


def answers_of_several(calls: Sequence[OpenCall]) -> dict[str, int]:
    """How many calls brought several answers, and how many of these LangChain has mixed into one message."""
    several = [call for call in calls if call.several is not None]
    mixed = sum(call.speaking for call in several)
    return {name: number for name, number in (("several", len(several)), ("mixed", mixed)) if number}
