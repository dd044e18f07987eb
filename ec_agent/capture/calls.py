"""LLM calls in progress, and the client requests made on their behalf."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ec_agent.capture.asked import Asked
from ec_agent.capture.filters import CallInfo
from ec_agent.capture.shapes import Payload, finished, merge_payloads, payload_of_response, payload_of_stream
from ec_agent.trajectory import Call

if TYPE_CHECKING:
    from ec_agent.capture.recorder import Recorder


@dataclass(eq=False, slots=True)
class Request:
    """One request of an OpenAI client.

    Attributes:
        asked: what it asks for.
        sampled: whether the rollout's sampling parameters were set on it.
        response: the whole answer, where it came whole.
        chunks: the parts of a streamed one, so far.
        cut: its end has not been seen: it is still being read, or its reader left.
    """

    asked: Asked = field(default_factory=Asked)
    sampled: bool = False
    response: Any = None
    chunks: list[Any] = field(default_factory=list)
    cut: bool = False

    def payload(self) -> Payload:
        """What came back, as far as it came."""
        whole = self.response is not None
        payload = payload_of_response(self.response) if whole else payload_of_stream(self.chunks)
        return replace(payload, partial=self.cut or not (whole or finished(self.chunks)))

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


@dataclass(eq=False, slots=True, weakref_slot=True)
class OpenCall:
    """An LLM call in progress: a LangChain run, or a bare request of an OpenAI client.

    Attributes:
        recorder: whose record it is in.
        info: what was known at its start.
        counted: whether the filter counts it.
        sequence: its place in call-start order.
        params: the sampling parameters it was made with, as far as known.
        asked: what else it asks for, as far as known.
        prompt: what a completion model is asked.
        batch: the runs it started with, and their requests.
        place: its place among those.
        around: the call in whose course it was made.
        inside: the calls that it made itself, as a chat model around others does.
        speaking: whether it has begun to stream.
        sampled: whether the rollout's sampling parameters were applied to one of its requests.
        done: what it became; ``None`` while it runs or when nothing came back.
    """

    recorder: Recorder
    info: CallInfo
    counted: bool
    sequence: int
    started: float
    params: Mapping[str, Any] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)
    prompt: str | None = None
    batch: Batch = field(default_factory=Batch)
    place: int = 0
    around: OpenCall | None = None
    inside: list[OpenCall] = field(default_factory=list)
    speaking: bool = False
    sampled: bool = False
    closed: bool = False
    done: Call | None = None
    cache_hit: bool = False

    def answered(self) -> list[Request]:
        """Its requests that brought something back; the runs of a batch are served in turn."""
        return [request for request in self.batch.requests[self.place :: self.batch.size] if request.answered]

    def read(self, payload: Payload | None) -> Payload | None:
        """What the call returned: what its own layer saw, or its requests, whichever tells more.

        Args:
            payload: what its own layer saw; ``None`` where that failed or saw nothing.
        """
        answered = self.answered()
        if answered and (payload is None or self.batch.size == 1 or not payload.entries):
            below = merge_payloads([request.payload() for request in answered])
            # Several requests are more than a layer above reports; of one, either layer may have lost some.
            if payload is None or len(answered) > 1 or _extent(below) > _extent(payload):
                payload = below
        if payload is None:
            return None
        asked = [request.asked for request in answered] or [self.asked]
        return replace(
            payload,
            top_k=max((each.top_k for each in asked if each.top_k), default=None),
            constrained=self.asked.constrained or any(each.constrained for each in asked),
            partial=payload.partial or any(request.cut for request in answered),
        )

    def passed_on(self, done: Call) -> bool:
        """Whether a chat model around other chat models only passed on what they answered."""
        inside = [inner.done.entropies for inner in self.inside if inner.done is not None]
        if not inside or self.answered():
            return False
        unknown = np.isnan(done.entropies).all()
        return bool(unknown) or np.array_equal(done.entropies, np.concatenate(inside), equal_nan=True)


def _extent(payload: Payload) -> tuple[int, int]:
    return len(payload.entries), -1 if payload.tokens is None else payload.tokens


current_call: ContextVar[OpenCall | None] = ContextVar("ec_agent_call", default=None)


def open_call() -> OpenCall | None:
    """The call in whose course this context is: the innermost that has not ended."""
    call = current_call.get()
    while call is not None and (call.closed or call.batch.over):
        call = call.around
    return call
