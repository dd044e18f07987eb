"""The recorder, which collects the LLM calls of one rollout from LangChain and from the ``openai`` client."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from langchain_core.messages import AIMessage

from ec_agent.capture.call_list import CallList
from ec_agent.capture.filters import CallInfo, CallPredicate, call_info, predicate
from ec_agent.capture.guard import Coming, Guard
from ec_agent.capture.kept import Kept
from ec_agent.capture.known_answers import Answer, Returned
from ec_agent.capture.listeners import CallsTold, Came
from ec_agent.capture.no_logprobs import missing
from ec_agent.capture.open_calls import OVER, Batch, OpenCall, current_call, facts_of, open_call
from ec_agent.capture.request_params import RequestSettings, asked_of
from ec_agent.capture.shapes import Payload, Reading, call_of, call_with, pick
from ec_agent.capture.tool_log import ToolLog
from ec_agent.errors import CaptureWarning, MissingLogprobsError, RolloutError
from ec_agent.numbers.signals import ENTROPY, known_signals, leading, with_entropy
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.support.checks import or_none
from ec_agent.support.prompt_leader import Lead

_sequence = itertools.count()
_FACTS = ("temperature", "seed")


class Recorder:
    """Collects the LLM calls of one rollout, in the order in which they started. Thread-safe.

    Attributes:
        failure: the error that ends the rollout, even if the agent caught it.
        asking: the AI messages with tool calls that LangChain's models returned.
        known: what identifies answers that a nested question of this rollout recorded.
        returned: the messages that LangChain's models returned.
        tool_calls: number of tools executed.
        remotes: how often a remote graph was called.
        within: number of calls that nested questions started, even if they did not end.
        call_list: the LLM calls so far, open and closed ones.
        tools: the tools executed, with their places among the calls.
        lead: starts other rollouts when the first answer of this one begins to come.
        told: gets reports about calls and tools until the rollout is over, or ``None``.

    Args:
        index: number of the rollout.
        signals: per-token signals to keep, besides the entropy and the signals of an outer recorder.
        calls: which calls count. ``None`` counts all.
        kept: what to keep besides numbers.
        requests: what to set on each request of an ``openai`` client that counts.
        raise_on_missing: whether to raise ``MissingLogprobsError`` at the first call that counts and has no logprobs.
        guard: is asked before and after each call.
        asking: the list to use for ``asking``.
    """

    def __init__(
        self,
        index: int = 0,
        *,
        signals: Sequence[str] = (ENTROPY,),
        calls: CallPredicate | None = None,
        kept: Kept | None = None,
        requests: RequestSettings | None = None,
        raise_on_missing: bool = False,
        guard: Guard | None = None,
        asking: list[AIMessage] | None = None,
    ) -> None:
        self.index = index
        # Calls recorded inside another rollout may become part of that one, so its signals are kept, too.
        around = current_recorder.get()
        given = known_signals(signals)
        self.signals: tuple[str, ...] = with_entropy([*given, *(around.signals if around is not None else ())])
        self._leading = leading(given)
        self.requests = requests or RequestSettings()
        self.failure: Exception | None = None
        self.known: list[Answer] = []
        self.returned = Returned()
        self.tool_calls = self.remotes = self.within = 0
        self.told: CallsTold | None = None
        self.lead: Lead | None = None
        self.guard = guard
        self.asking: list[AIMessage] = [] if asking is None else asking
        self._filter = or_none("calls", calls, predicate)
        self._kept = kept or Kept()
        self.tools = ToolLog(self._kept.text)
        self._raise_on_missing = raise_on_missing
        self.call_list = CallList()
        self._lock = threading.Lock()

    def begin(
        self,
        info: CallInfo,
        params: Mapping[str, Any] | None = None,
        batch: int = 1,
        outer: OpenCall | None = None,
        question: Mapping[str, Any] | None = None,
    ) -> OpenCall:
        """Record the start of a call.

        Args:
            info: what is known about the call.
            params: its parameters.
            batch: how many calls LangChain starts together with it, including this one.
            outer: the call that made it, if LangChain says it; else the innermost call of this context is used.
            question: what a LangChain run asks its model: ``messages`` or a ``prompt``. The request of a client has it
                among its parameters.

        Raises:
            Exception: whatever the guard raises. The call must not be made then.
        """
        self.check(Coming("model", info.model))
        call = OpenCall(self, info, self._counts(info), next(_sequence), time.time())
        call.params = {name: value for name in _FACTS if isinstance(value := (params or {}).get(name), int | float)}
        call.asked, call.bare = asked_of(params or {}), question is None
        before = current_call.get()
        if batch > 1 and before is not None and before.batch.size == batch and before.place + 1 < batch:
            call.batch, call.place, call.outer = before.batch, before.place + 1, before.outer
        else:
            call.batch, call.outer = Batch(batch), outer or open_call()
        if call.outer is not None:
            (call.outer.beside if call.outer.speaking else call.outer.inside).append(call)
        self._enter(call)
        if (told := self.told) is not None:
            told.call_started(call, {**(params or {}), **(question or {})})
        return call

    def _enter(self, call: OpenCall, counted: bool = True) -> None:
        """Add a call to this record, and copies of it to those of outer recorders.

        A call that is not ``counted`` (of a rollout that lost in a nested question) counts in none of them.
        """
        self.call_list.append(call)
        for other in () if call.of else listening.get():
            counts = counted and other._counts(call.info)
            twin = OpenCall(other, call.info, counts, call.sequence, call.started, of=call)
            call.twins.append(twin)
            other._enter(twin)

    def check(self, coming: Coming | None = None) -> None:
        """Ask the guard whether the rollout may go on.

        Args:
            coming: the call that is about to be made, if one is.

        Raises:
            Exception: whatever the guard raises.
        """
        if self.guard is not None:
            self._ask_guard(partial(self.guard.before, coming))

    def spend(self, tokens: int) -> None:
        """Report generated tokens to the guard.

        Raises:
            Exception: whatever the guard raises.
        """
        if self.guard is not None:
            self._ask_guard(partial(self.guard.after, tokens))

    def _ask_guard(self, asked: Callable[[], None]) -> None:
        try:
            asked()
        except RolloutError as error:
            self.fail(error)
            raise

    def fail(self, error: Exception) -> None:
        """Set the error that ends the rollout. It ends even if the agent catches what is raised."""
        self.failure = self.failure or error

    def _counts(self, info: CallInfo) -> bool:
        if self._filter is None:
            return True
        try:
            return bool(self._filter(info))
        except Exception as error:
            # If it were raised here, LangChain or the agent might swallow it. As the failure, it ends the rollout.
            self.failure = self.failure or error
            return False

    def end(self, call: OpenCall, payload: Payload | None, came: Came | None = None) -> None:
        """Record the end of a call.

        Args:
            call: the call.
            payload: the answer, as LangChain has it; ``None`` if the run failed, or LangChain made no run.
            came: what the LangChain run ended with, for those who get reports.

        Raises:
            MissingLogprobsError: the call has no logprobs, and ``raise_on_missing`` is set.
        """
        if call.closed:
            return  # it was cancelled, and ended with its request
        self.answered(call)
        told = self.told
        if told is not None and came is None:
            came = call.answered()  # now, because a closed call has no requests
        done = self._read(call, payload)
        call.done = None if done is None or call.passed_on(done) else done
        call.batch.over = True
        absorbed = call.absorbed()
        told_before = sum(other.done.tokens or 0 for other in absorbed if other.done is not None)
        if call.done is not None and absorbed and all(other.cache_hit for other in absorbed):
            call.done = replace(call.done, from_cache=True)
        for other in absorbed:
            other.done = None
        for other in (*call.inside, *call.beside):
            other.marks = b""
        requests = call.batch.requests if call.batch.size == 1 else []
        call.closed, call.batch, call.inside, call.beside = True, OVER, [], []
        if told is not None:
            told.call_ended(call, () if came is None else came, told_before)
        for request in requests:
            request.drop()
        if call.done is not None and call.done.generated > told_before:
            self.spend(call.done.generated - told_before)
        if self._raise_on_missing and call.counted and call.done is not None:
            self._require(call.done, call.cache_hit)

    def answered(self, call: OpenCall) -> None:
        """Let rollouts that wait for this one follow, because an answer of the call begins to come, or has come."""
        if self.lead is not None and call.counted:
            self.lead.follow()

    def _require(self, done: Call, cached: bool = False) -> None:
        if self._leading is not None and np.isnan(done.signal(self._leading)).all():
            self.failure = self.failure or MissingLogprobsError(missing(done, cached=cached))
            raise self.failure

    def _read(self, call: OpenCall, payload: Payload | None) -> Call | None:
        """Make the finished call of what came, or ``None`` if nothing came. Never raises."""
        read = partial(self._numbers, call, ended=time.time())
        if any(request.sampled for request in call.answered()):
            call.sampled, call.params = True, {**call.params, **self.requests.sampling}
        try:
            payload = call.read(payload)
            if payload is None:
                return None
            call.cache_hit = payload.cache_hit
            call.several = payload if len(payload.alternatives) > 1 else None
            return read(payload)
        except Exception as error:
            # An error of our reading must not end the user's run. The tokens keep their place without an entropy.
            warnings.warn(f"logprobs of a call could not be read ({error!r})", CaptureWarning, stacklevel=2)
            return read(replace(payload or Payload(), entries=()))

    def reading(self, call: OpenCall, top_k: int | None) -> Reading:
        """Return how the entries of a call are read, if so many candidates of each token were asked for."""
        readers = (self, *(twin.recorder for twin in call.twins))
        signals = tuple(dict.fromkeys(name for reader in readers for name in reader.signals))
        kept = Kept.for_all([reader._kept for reader in readers])
        return Reading(signals, top_k, kept.text, kept.candidates)

    def _numbers(self, call: OpenCall, payload: Payload, ended: float | None) -> Call:
        tokens = self.reading(call, payload.top_k).of(payload.entries)
        return call_with(payload, tokens, node=call.info.node, model=call.info.model, started=call.started, ended=ended)

    def choose(self, place: float, choice: int) -> None:
        """Set which of a call's answers counts: the one that the agent went on with.

        Args:
            place: the call's sequence number (``OpenCall.sequence``), which orders calls by their start.
            choice: the index of the answer.
        """
        for call in self.call_list.sources(place):
            if call.several is not None and call.done is not None and choice != call.choice:
                call.several = pick(call.several, choice)
                call.done = call.recorder._numbers(call, call.several, call.done.ended)
            call.choice = choice

    def adopt(self, calls: Sequence[Call], *, counted: bool = True) -> None:
        """Add the finished calls of a rollout of a nested question. The guard was asked when they were made.

        Calls of a rollout that lost are not ``counted``: they cost tokens, but are not part of this timeline.
        """
        here = call_info()
        for call in calls:
            path = (*here.path, call.node) if call.node else here.path
            self.add(call, replace(here, node=call.node, path=path, model=call.model), self.now(), counted)

    def take(self, payload: Payload, info: CallInfo, place: float) -> None:
        """Add a finished call that was not recorded while it ran, from what it returned, at a place; see ``now``.

        Raises:
            Exception: as ``end``.
        """
        kept = self._kept
        done = call_of(payload, self.signals, node=info.node, keep_text=kept.text, keep_candidates=kept.candidates)
        call = self.add(done, replace(info, model=done.model), place)
        self.spend(done.generated)
        if self._raise_on_missing and call.counted:
            self._require(done)

    def add(self, done: Call, info: CallInfo, place: float, counted: bool = True) -> OpenCall:
        """Add a finished call at a place in the order in which calls started; see ``now``."""
        started = done.started if done.started is not None else time.time()
        call = OpenCall(self, info, counted and self._counts(info), place, started, closed=True, done=done)
        call.cache_hit = done.from_cache
        self._enter(call, counted)
        self.answered(call)
        if (told := self.told) is not None:
            told.call_ended(call, (), 0)
        return call

    def now(self) -> float:
        """Return a place in the order in which calls start: after all calls so far, and before all later ones."""
        return next(_sequence)

    def _seen(self) -> list[tuple[OpenCall, Call]]:
        calls = sorted(self.call_list.so_far(), key=lambda call: call.sequence)
        # A call that is still open is streaming, was cancelled, or is not read any more. What came counts.
        read = [(c, s.done if (s := c.source).closed else s.recorder._read(s, None)) for c in calls]
        return [(call, done) for call, done in read if done is not None]

    def trajectory(self) -> Trajectory:
        """Return the calls that count, in the order in which they started.

        Raises:
            Exception: the error that ended the rollout, such as ``MissingLogprobsError`` or an error of the filter.
        """
        if self.failure is not None:
            raise self.failure
        return self.counted_calls()

    def settle(self) -> None:
        """Check calls whose end was never reported, such as cancelled ones, against the limits.

        Raises:
            Exception: as ``end``.
        """
        for call, done in self._seen():
            if not call.source.closed:
                self.spend(done.generated)
                if self._raise_on_missing and call.counted:
                    self._require(done)

    def counted_calls(self) -> Trajectory:
        """Return the calls that count, with their tools, even if the rollout failed."""
        return Trajectory(self.tools.placed([(call.sequence, done) for call, done in self._seen() if call.counted]))

    def release(self) -> None:
        """Drop all calls and messages, because the rollout is over and its record was made.

        Calls with logprobs are very many small objects. Dropping them here frees the memory at once, without the
        garbage collector.
        """
        self.guard = self.told = None
        self.asking.clear()
        self.call_list.clear()
        self.known.clear()
        self.returned.clear()

    def every_call(self) -> list[Call]:
        """Return all calls, including those that the filter leaves out: they are what the rollout cost."""
        return [done for _, done in self._seen()]

    def facts(self) -> dict[str, Any]:
        """Return facts about the calls that count: temperatures, seeds, cache hits, sampling parameters, tools."""
        counted = [call.source for call, _ in self._seen() if call.counted]
        return {**facts_of(counted, self.requests.sampling), "tool_calls": self.tool_calls}

    def count_tool_call(self, run: UUID, name: str, arguments: Any) -> None:
        """Record the start of a tool, here and in the records of outer recorders."""
        sequence = next(_sequence)
        for each in (self, *listening.get()):
            with each._lock:
                each.tool_calls += 1
            each.tools.start(run, sequence, name, arguments)

    def started_calls(self) -> int:
        """Return how many calls have started so far, including those of nested questions."""
        return len(self.call_list.so_far()) + self.within


current_recorder: ContextVar[Recorder | None] = ContextVar("ec_agent_recorder", default=None)
listening: ContextVar[tuple[Recorder, ...]] = ContextVar("ec_agent_listening", default=())
"""Outer recorders that also record the calls of the current recorder. Guard, sampling and reports are its own."""
