"""LLM calls in progress, and the requests of an ``openai`` client that belong to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ec_agent.capture.filters import CallInfo
from ec_agent.capture.known_answers import Answer, choices_of, made_of, marks_of
from ec_agent.capture.request_params import RequestParams
from ec_agent.capture.shapes import (
    MessageParts,
    Payload,
    Reading,
    finished,
    merge_payloads,
    payload_of_response,
    payload_of_stream,
    pick,
    read_once,
)
from ec_agent.capture.taken_logprobs import Taken, TakenLogprobs, restored
from ec_agent.capture.which_account import account_of, same_tokens, text_in
from ec_agent.numbers.trajectory import Call

if TYPE_CHECKING:
    from ec_agent.capture.recorder import Recorder


@dataclass(eq=False, slots=True)
class Request:
    """One request of an ``openai`` client.

    Attributes:
        asked: what it asks for.
        sampled: whether the rollout's sampling parameters were set on it.
        sent: how often it was sent. It is sent again in another way if the endpoint refuses.
        response: the answer, if it is not streamed.
        chunks: the parts of a streamed answer that came so far, as they are kept. ``parts`` has them to be read.
        marked: whether the mark ``[DONE]`` came, which ends a stream.
        cut: whether the end of the answer was not read yet: it is still being read, or its reader stopped reading.
        taken: the logprobs that a transport took out of the answer.
        whole: what was read of a whole answer when it came.
    """

    asked: RequestParams = field(default_factory=RequestParams)
    sampled: bool = False
    sent: int = 0
    response: Any = None
    chunks: list[Any] = field(default_factory=list)
    marked: bool = False
    cut: bool = False
    taken: TakenLogprobs = field(default_factory=TakenLogprobs)
    whole: Payload | None = None
    _read: list[Any] = field(default_factory=list)

    def read_whole(self, reading: Reading) -> None:
        """Read a whole answer now, so that its logprobs need not wait, decoded, for the end of the call."""
        if self.response is None or not self.taken.whole:
            return
        several = self.asked.prompts, self.asked.unreturned
        again = partial(_payload_of_whole, self.response, self.taken.whole, *several)
        self.whole = read_once(self.payload(), reading, again)
        self.taken.forget(self.whole.entries)

    def payload(self) -> Payload:
        """Read what came of the answer."""
        if self.whole is not None:
            return self.whole
        whole = self.response is not None
        several = self.asked.prompts, self.asked.unreturned
        payload = (
            _payload_of_whole(self.response, self.taken.whole, *several)
            if whole
            else payload_of_stream(self.parts, *several)
        )
        cut = self.cut or not (whole or finished(self.parts, self.marked))
        return payload if payload.partial == cut else replace(payload, partial=cut)

    @property
    def parts(self) -> list[Any]:
        """The parts of a streamed answer that came so far."""
        read, kept = self._read, self.chunks
        if len(read) > len(kept):
            read.clear()
        read += [self.taken.unpacked(chunk) for chunk in kept[len(read) :]]
        return read

    def drop(self) -> None:
        """Forget what came, because the call is over. The reader of a stream may hold the request much longer."""
        self.response = self.whole = None
        for parts in (self.chunks, self._read, self.taken.events):
            parts.clear()
        self.taken.whole = ()

    def text(self) -> str:
        """Return the text that came of the answer."""
        return text_in(self.parts if self.response is None else [self.response])

    @property
    def answered(self) -> bool:
        """Whether any part of an answer came."""
        return self.response is not None or bool(self.chunks) or self.cut


def _payload_of_whole(response: Any, taken: Taken, prompts: int, unreturned: int) -> Payload:
    return payload_of_response(restored(response, taken), prompts, unreturned)


@dataclass(eq=False, slots=True)
class Batch:
    """LangChain runs that start together: usually one, several with ``generate([a, b])``.

    Attributes:
        size: number of runs.
        requests: the requests that belong to the runs. Only their order shows which request belongs to which run.
        over: whether one of the runs has ended. They all end together.
    """

    size: int = 1
    requests: list[Request] = field(default_factory=list)
    over: bool = False


OVER = Batch(over=True)
"""The batch of every call that has ended. No further request belongs to such a call."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class OpenCall:
    """An LLM call in progress: a LangChain run, or a request of an ``openai`` client without LangChain.

    Attributes:
        recorder: the recorder that it belongs to.
        info: what was known when it started.
        counted: whether the filter counts it.
        sequence: its place in the order in which calls started.
        started: when it started, in seconds since the epoch.
        params: its sampling parameters, if known.
        bare: whether it is a request of a client that belongs to no LangChain run.
        asked: what else it asks for, if known.
        prompt: the prompt of a completion model.
        batch: the runs that it started together with, and their requests.
        place: its index among these runs.
        text: the text of the first message that LangChain returned.
        stream_parts: the parts of its stream that LangChain passed on, if no request of it was recorded.
        said: what identifies the answers in the messages that LangChain returned.
        answers: what identifies all its answers, so that a message can be recognised later.
        marks: the marks of its tokens, kept while another call may pass the same tokens on.
        outer: the call during which it was made, or ``None``.
        inside: the calls that it made itself, as a chat model that wraps others does.
        beside: the calls made in its context after it began to stream. Usually the reader of the stream made them.
        speaking: whether it has begun to stream.
        parts: how many parts of its answer LangChain has passed on. Counted only if somebody wants to know.
        sampled: whether the rollout's sampling parameters were set on one of its requests.
        closed: whether it has ended.
        choice: index of the one of several answers that counts: the one that the agent went on with, if that is known.
        several: the payload, if it has several answers.
        done: the finished call. ``None`` while it runs, and if nothing came back.
        cache_hit: whether an LLM cache answered.
        of: the original call, if this is a copy of it in the record of an outer recorder.
        twins: the copies of this call in the records of outer recorders.
        read_as: of what its answer was read: ``"bytes"``, the client's ``"objects"``, or LangChain's ``"message"``.
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
    read_as: str = ""

    @property
    def source(self) -> OpenCall:
        """The original call, if this is a copy; else this call."""
        return self.of or self

    @property
    def asks_logprobs(self) -> bool:
        """Whether its requests must ask for logprobs."""
        return any(each.counted and each.recorder.requests.logprobs for each in (self, *self.twins))

    def answered(self) -> list[Request]:
        """Return its requests for which any part of an answer came. The runs of a batch make requests in turn."""
        return [request for request in self.batch.requests[self.place :: self.batch.size] if request.answered]

    def read(self, payload: Payload | None) -> Payload | None:
        """Return what the call returned, from its requests or from LangChain, whichever has more.

        Args:
            payload: the answer, as LangChain has it; ``None`` if the run failed, or LangChain made no run.

        Returns:
            The payload, or ``None`` if nothing came back.
        """
        answered, own = self.answered(), payload
        by_bytes = bool(answered) and all(request.taken.took for request in answered)
        self.read_as = "bytes" if by_bytes else "objects" if answered else "message"
        self.answers = self.said
        if payload is not None and payload.entries and self.batch.size > 1:
            payload = self._in_batch(payload)
        elif answered:
            payloads = [request.payload() for request in answered]
            if payload is None or not payload.entries:  # otherwise the messages identify the answers
                self.answers += tuple(Answer.of(each) for each in payloads)
            self.answers += tuple(answer for each in payloads for answer in choices_of(each))
            below = merge_payloads(payloads)
            if payload is None or len(answered) > 1:  # of several requests, LangChain has only one answer
                payload = below
            else:
                payload = account_of(below, payload, self.text, answered[0].text)
        if payload is None:
            return None
        if len(payload.alternatives) > 1:
            payload = pick(payload, self.choice)
        self.text = ""  # it may be long, and is not needed any more
        # A wrapping chat model passes the message on, so the marks are those of the message if it has logprobs.
        self._mark(own if own is not None and own.entries else payload)
        asked = [request.asked for request in answered] or [self.asked]
        top_k = max((each.top_k for each in asked if each.top_k), default=None)
        constrained = self.asked.constrained or any(each.constrained for each in asked)
        cut = payload.partial or any(request.cut for request in answered)
        if (payload.top_k, payload.constrained, payload.partial) == (top_k, constrained, cut):
            return payload
        return replace(payload, top_k=top_k, constrained=constrained, partial=cut)

    def _in_batch(self, payload: Payload) -> Payload:
        """Find the request of the batch that brought the tokens of this payload, and return the better account of both.

        If there is no such request, the payload is returned unchanged.
        """
        for request in self.batch.requests:
            if request.answered and same_tokens(requested := request.payload(), payload):
                return account_of(requested, payload, self.text, request.text)
        return payload

    def _mark(self, payload: Payload) -> None:
        """Keep the marks of the tokens if another call, outside or inside of this one, may have the same tokens."""
        if self.outer is not None or self.inside or self.beside:
            self.marks = marks_of(payload.entries)

    def passed_on(self, done: Call) -> bool:
        """Tell whether this chat model wraps others, and only passed on their answers. It must then not count twice."""
        inside = [inner for inner in self.inside if inner.done is not None]
        if not inside or self.answered():
            return False  # a call with a request of its own generated tokens itself
        if self.marks:
            return made_of(self.marks, [inner.marks for inner in inside]) is not None
        counts = [inner.done.tokens for inner in inside if inner.done is not None]
        known = [count for count in counts if count is not None]
        passed = [*known, sum(known), *(answer.tokens for inner in inside for answer in inner.said)]
        return done.tokens is None or len(known) < len(counts) or done.tokens in passed

    def absorbed(self) -> list[OpenCall]:
        """Return the calls in ``beside`` that this call made itself: their tokens are a part of its tokens."""
        beside = [other for other in self.beside if other.done is not None and other.marks]
        if not beside or not self.marks:
            return []
        own = b"".join(marks_of(request.payload().entries) for request in self.answered())
        parts = made_of(self.marks, [own, *(other.marks for other in beside)])
        return [beside[place - 1] for place in parts or () if place > 0]


current_call: ContextVar[OpenCall | None] = ContextVar("ec_agent_call", default=None)


def open_call() -> OpenCall | None:
    """Return the innermost call of this context that has not ended, or ``None``."""
    call = current_call.get()
    while call is not None and (call.closed or call.batch.over):
        call = call.outer
    return call


def call_waiting_for(prompts: Sequence[Any], calls: Sequence[OpenCall]) -> OpenCall | None:
    """Return the open call of a completion model that waits for the answers to these prompts, or ``None``.

    LangChain reports the start of asynchronous runs of completion models in another context than that of their
    request. So the request finds its call by the prompts. Several calls that it answers together become a batch.
    """
    open_ones = [c for c in calls if c.prompt is not None and not c.closed and not c.batch.requests]
    found: list[OpenCall] = []
    for prompt in prompts:
        found += [call for call in open_ones if call.prompt == prompt and call not in found][:1]
    if not found or len(found) < len(prompts):
        return None
    batch = Batch(len(found))
    for place, call in enumerate(found):
        call.batch, call.place = batch, place
    return found[0]


def facts_of(calls: Sequence[OpenCall], sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts about calls: temperatures, seeds, cache hits, and to how many ``sampling`` was not applied.

    If there are any: ``several``, the calls that brought several answers, and ``mixed``, those whose answers LangChain
    mixed into one message.
    """
    several = [call for call in calls if call.several is not None]
    mixed = sum(call.speaking for call in several)
    return {
        "temperatures": sorted({c.params["temperature"] for c in calls if "temperature" in c.params}),
        "seeds": sorted({c.params["seed"] for c in calls if "seed" in c.params}),
        "cache_hits": sum(c.cache_hit for c in calls),
        "sampling": dict(sampling),
        "reading": dict(Counter(c.read_as for c in calls if c.read_as)),
        "unsampled_calls": sum(not c.sampled for c in calls) if sampling else 0,
        **{name: number for name, number in (("several", len(several)), ("mixed", mixed)) if number},
    }
