"""One rollout's LLM calls, collected from whichever layer sees them."""

from __future__ import annotations

import inspect
import itertools
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from langchain_core.messages import AIMessage

from ec_agent.capture.filters import CallInfo, CallPredicate
from ec_agent.capture.guard import Guard
from ec_agent.capture.shapes import Payload, call_of, merge_payloads, payload_of_response, payload_of_stream
from ec_agent.errors import CaptureWarning, ConfigError, MissingLogprobsError, RolloutError
from ec_agent.signals import ENTROPY, check_signals
from ec_agent.trajectory import Call, Trajectory

_sequence = itertools.count()
_FACTS = ("temperature", "seed")


@dataclass(eq=False, slots=True)
class Request:
    """One request of an OpenAI client: what came back, a whole response or the chunks so far.

    ``sampled`` says whether the rollout's sampling parameters were set on it.
    """

    sampled: bool = False
    response: Any = None
    chunks: list[Any] = field(default_factory=list)

    def payload(self) -> Payload:
        """What came back, as far as it came."""
        return payload_of_stream(self.chunks) if self.response is None else payload_of_response(self.response)

    @property
    def answered(self) -> bool:
        """Whether anything came back at all."""
        return self.response is not None or bool(self.chunks)


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


class Recorder:
    """Collects the LLM calls of one rollout, in call-start order. Thread-safe.

    Attributes:
        failure: what ends the rollout, whether or not the agent caught it.
        asking: the AI messages with tool calls that LangChain models have returned.
        tool_calls: tools executed.

    Args:
        index: number of the rollout.
        signals: per-token signals to keep; entropy always is.
        calls: which calls count; ``None`` counts all.
        keep_text: keep the token texts too.
        sampling: request parameters to set on every counted request of an OpenAI client.
        raise_on_missing: raise ``MissingLogprobsError`` at the first counted call without logprobs.
        guard: asked before and after each call.
        asking: the list to keep ``asking`` in.
    """

    def __init__(
        self,
        index: int = 0,
        *,
        signals: Sequence[str] = (ENTROPY,),
        calls: CallPredicate | None = None,
        keep_text: bool = False,
        sampling: Mapping[str, Any] | None = None,
        raise_on_missing: bool = False,
        guard: Guard | None = None,
        asking: list[AIMessage] | None = None,
    ) -> None:
        unfit = not callable(calls) or inspect.isclass(calls) or inspect.iscoroutinefunction(calls)
        if calls is not None and unfit:
            raise ConfigError(f"calls is {calls!r}; give a CallFilter(...) or a function from CallInfo to bool")
        self.index = index
        self.signals = check_signals(signals)
        self.sampling = dict(sampling or {})
        self.failure: Exception | None = None
        self.tool_calls = 0
        self.guard = guard
        self.asking: list[AIMessage] = [] if asking is None else asking
        self._filter = calls
        self._keep_text = keep_text
        self._raise_on_missing = raise_on_missing
        self._calls: list[OpenCall] = []
        self._lock = threading.Lock()

    def begin(self, info: CallInfo, params: Mapping[str, Any] | None = None, batch: int = 1) -> OpenCall:
        """A call starts, one of ``batch`` that start one right after the other.

        Raises:
            Exception: whatever the guard raises; the call is not to be made.
        """
        self.check()
        call = OpenCall(self, info, self._counts(info), next(_sequence), time.time())
        call.params = {name: value for name in _FACTS if isinstance(value := (params or {}).get(name), int | float)}
        before = current_call.get()
        if batch > 1 and before is not None and before.batch.size == batch and before.place + 1 < batch:
            call.batch, call.place, call.around = before.batch, before.place + 1, before.around
        else:
            call.batch, call.around = Batch(batch), open_call()
        if call.around is not None and not call.around.speaking:
            call.around.inside.append(call)
        with self._lock:
            self._calls.append(call)
        return call

    def check(self) -> None:
        """Ask the guard whether a call may be made.

        Raises:
            Exception: whatever the guard raises.
        """
        if self.guard is not None:
            self._heed(self.guard.before)

    def spend(self, tokens: int) -> None:
        """Tell the guard of generated tokens.

        Raises:
            Exception: whatever the guard raises.
        """
        if self.guard is not None:
            self._heed(partial(self.guard.after, tokens))

    def _heed(self, asked: Callable[[], None]) -> None:
        try:
            asked()
        except RolloutError as error:
            self.fail(error)
            raise

    def fail(self, error: Exception) -> None:
        """End the rollout; the agent may catch what is raised, and it is over all the same."""
        self.failure = self.failure or error

    def _counts(self, info: CallInfo) -> bool:
        if self._filter is None:
            return True
        try:
            return bool(self._filter(info))
        except Exception as error:
            # Raised where the call is made, LangChain or the agent might swallow it; the rollout must not.
            self.failure = self.failure or error
            return False

    def end(self, call: OpenCall, payload: Payload | None) -> None:
        """A call ended; ``payload`` is what its own layer saw, ``None`` where it failed or saw nothing.

        Raises:
            MissingLogprobsError: the call has no logprobs and the recorder is to raise on that.
        """
        if call.closed:
            return  # cancelled: it ended with its request
        done = self._read(call, payload)
        call.done = None if done is None or _passed_on(call, done) else done
        call.batch.over = True
        call.closed, call.batch, call.inside = True, Batch(over=True), []
        if call.done is not None and call.done.tokens:
            self.spend(call.done.tokens)
        if self._raise_on_missing and call.counted and call.done is not None and not _has_entropy(call.done):
            self.failure = self.failure or MissingLogprobsError(
                f"model {call.done.model!r} returned no logprobs; {ASK_FOR_LOGPROBS}"
            )
            raise self.failure

    def _read(self, call: OpenCall, payload: Payload | None) -> Call | None:
        read = partial(call_of, node=call.info.node, model=call.info.model, started=call.started, ended=time.time())
        answered = call.answered()
        if any(request.sampled for request in answered):
            call.sampled, call.params = True, {**call.params, **self.sampling}
        try:
            if answered and (payload is None or call.batch.size == 1 or not payload.entries):
                below = merge_payloads([request.payload() for request in answered])
                # Several requests are more than a layer above reports; of one, either layer may have lost some.
                if payload is None or len(answered) > 1 or _extent(below) > _extent(payload):
                    payload = below
            if payload is None:
                return None
            call.cache_hit = payload.cache_hit
            return read(payload, self.signals, keep_text=self._keep_text)
        except Exception as error:
            # The user's run must not die of our reading; the tokens keep their place without entropy.
            warnings.warn(f"logprobs of a call could not be read ({error!r})", CaptureWarning, stacklevel=2)
            return read(replace(payload or Payload(), entries=()), self.signals)

    def adopt(self, calls: Sequence[Call], *, counted: bool = True, metered: bool = False) -> None:
        """Add finished calls that were made elsewhere: a nested winner's, a remote agent's.

        Those of nested losers are not ``counted``: they cost, but are no part of this timeline. Those that are
        ``metered`` were made known to the guard when they were made.
        """
        from ec_agent.capture.langchain import call_info

        here = call_info()
        for call in calls:
            path = (*here.path, call.node) if call.node else here.path
            info = replace(here, node=call.node, path=path, model=call.model)
            started = call.started if call.started is not None else time.time()
            counts = counted and self._counts(info)
            adopted = OpenCall(self, info, counts, next(_sequence), started, closed=True, done=call)
            with self._lock:
                self._calls.append(adopted)
            if not metered and call.tokens:
                self.spend(call.tokens)

    def _seen(self) -> list[tuple[OpenCall, Call]]:
        with self._lock:
            calls = sorted(self._calls, key=lambda call: call.sequence)
        # A call still open was cancelled, abandoned, or is streaming: what has arrived counts.
        read = [(call, call.done if call.closed else self._read(call, None)) for call in calls]
        return [(call, done) for call, done in read if done is not None]

    def trajectory(self) -> Trajectory:
        """The calls that count, in call-start order.

        Raises:
            Exception: whatever the filter raised, or ``MissingLogprobsError`` met on the way.
        """
        if self.failure is not None:
            raise self.failure
        return self.heard()

    def heard(self) -> Trajectory:
        """The calls that count, whatever became of the rollout."""
        return Trajectory([done for call, done in self._seen() if call.counted])

    def every_call(self) -> list[Call]:
        """All calls seen, those the filter leaves out included: what the rollout cost."""
        return [done for _, done in self._seen()]

    def facts(self) -> dict[str, Any]:
        """How the counted calls were made: temperatures, seeds, cache hits, sampling set and left out; tools run."""
        counted = [call for call, _ in self._seen() if call.counted]
        return {
            "temperatures": sorted({c.params["temperature"] for c in counted if "temperature" in c.params}),
            "seeds": sorted({c.params["seed"] for c in counted if "seed" in c.params}),
            "cache_hits": sum(c.cache_hit for c in counted),
            "sampling": self.sampling,
            "tool_calls": self.tool_calls,
            "unsampled_calls": sum(not c.sampled for c in counted) if self.sampling else 0,
        }

    def count_tool_call(self) -> None:
        """A tool was executed."""
        with self._lock:
            self.tool_calls += 1

    def asked_in(self, namespace: str) -> bool:
        """Whether a model was called in the graph task of this checkpoint namespace."""
        with self._lock:
            return any(call.info.metadata.get("langgraph_checkpoint_ns") == namespace for call in self._calls)

    def started_calls(self) -> int:
        """How many calls have started so far."""
        return len(self._calls)


ASK_FOR_LOGPROBS = (
    "ask for them (ChatOpenAI(..., logprobs=True, top_logprobs=20)), or use a model and endpoint that return them"
)

current_recorder: ContextVar[Recorder | None] = ContextVar("ec_agent_recorder", default=None)
current_call: ContextVar[OpenCall | None] = ContextVar("ec_agent_call", default=None)


def open_call() -> OpenCall | None:
    """The call in whose course this context is: the innermost that has not ended."""
    call = current_call.get()
    while call is not None and (call.closed or call.batch.over):
        call = call.around
    return call


def _extent(payload: Payload) -> tuple[int, int]:
    return len(payload.entries), -1 if payload.tokens is None else payload.tokens


def _passed_on(call: OpenCall, done: Call) -> bool:
    """Whether a chat model around other chat models only passed on what they answered."""
    inside = [inner.done.entropies for inner in call.inside if inner.done is not None]
    if not inside or call.answered():
        return False
    return not _has_entropy(done) or np.array_equal(done.entropies, np.concatenate(inside), equal_nan=True)


def _has_entropy(call: Call) -> bool:
    return bool((call.entropies == call.entropies).any())


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Everything called inside, in this context and those copied from it, is recorded."""
    from ec_agent.capture.langchain import HANDLER, handler_var, install_hook
    from ec_agent.capture.openai_client import install_patch

    install_hook()
    install_patch()
    tokens = (current_recorder.set(recorder), current_call.set(None), handler_var.set(HANDLER))
    try:
        yield recorder
    finally:
        current_recorder.reset(tokens[0])
        current_call.reset(tokens[1])
        handler_var.reset(tokens[2])


@contextmanager
def record_calls(
    *,
    signals: Sequence[str] = (ENTROPY,),
    calls: CallPredicate | None = None,
    keep_text: bool = False,
) -> Iterator[Recorder]:
    """Record the LLM calls made inside the ``with`` block, through LangChain or an ``openai`` client.

    Args:
        signals: per-token signals to keep; entropy always is.
        calls: which calls count: a ``CallFilter`` or a function from ``CallInfo`` to bool.
        keep_text: keep the token texts too.

    Yields:
        A recorder; its ``trajectory()`` is what has been recorded so far.

    Example:
        >>> with record_calls() as recorder:
        ...     client.chat.completions.create(..., logprobs=True, top_logprobs=20)
        >>> recorder.trajectory().centroid()
    """
    with recording(Recorder(signals=signals, calls=calls, keep_text=keep_text)) as recorder:
        yield recorder
