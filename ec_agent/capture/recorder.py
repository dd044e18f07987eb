"""One rollout's LLM calls, collected from whichever layer sees them."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from langchain_core.messages import AIMessage

from ec_agent.capture.advice import missing
from ec_agent.capture.answers import Answer
from ec_agent.capture.asked import RequestSettings, asked_of
from ec_agent.capture.calls import OVER, Batch, OpenCall, answers_of_several, current_call, open_call
from ec_agent.capture.filters import CallInfo, CallPredicate, call_info, predicate
from ec_agent.capture.guard import Guard
from ec_agent.capture.kept import Kept, ToolLog
from ec_agent.capture.shapes import Payload, call_of, pick
from ec_agent.capture.told import CallsTold, Came
from ec_agent.errors import CaptureWarning, MissingLogprobsError, RolloutError
from ec_agent.numbers.signals import ENTROPY, known_signals, leading, with_entropy
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.support.checks import or_none
from ec_agent.support.leading import Lead

_sequence = itertools.count()
_FACTS = ("temperature", "seed")


class Recorder:
    """Collects the LLM calls of one rollout, in call-start order. Thread-safe.

    Attributes:
        failure: what ends the rollout, whether or not the agent caught it.
        asking: the AI messages with tool calls that LangChain models have returned.
        known: answers of calls that were heard elsewhere, by a question within this rollout, and are on record.
        tool_calls: tools executed.
        remotes: times that something was asked of a remote graph.
        within: calls that were started by questions within this rollout, whether or not they came to their end.
        tools: which, and when.
        lead: others follow this rollout when its first counted answer begins to come.
        told: is told of calls and tools as they start and end, if anybody listens, until the rollout is over.

    Args:
        index: number of the rollout.
        signals: per-token signals to keep; entropy always is, and those of a recorder around it.
        calls: which calls count; ``None`` counts all.
        kept: what to keep besides the numbers.
        requests: what to set on every counted request of an OpenAI client.
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
        kept: Kept | None = None,
        requests: RequestSettings | None = None,
        raise_on_missing: bool = False,
        guard: Guard | None = None,
        asking: list[AIMessage] | None = None,
    ) -> None:
        self.index = index
        # What is heard inside another rollout may become part of it, so that its signals are kept too.
        around = current_recorder.get()
        given = known_signals(signals)
        self.signals: tuple[str, ...] = with_entropy([*given, *(around.signals if around is not None else ())])
        self._leading = leading(given)
        self.requests = requests or RequestSettings()
        self.failure: Exception | None = None
        self.known: list[Answer] = []
        self.tool_calls = self.remotes = self.within = 0
        self.told: CallsTold | None = None
        self.lead: Lead | None = None
        self.guard = guard
        self.asking: list[AIMessage] = [] if asking is None else asking
        self._filter = or_none("calls", calls, predicate)
        self._kept = kept or Kept()
        self.tools = ToolLog(self._kept.text)
        self._raise_on_missing = raise_on_missing
        self._calls: list[OpenCall] = []
        self._lock = threading.Lock()

    def begin(
        self,
        info: CallInfo,
        params: Mapping[str, Any] | None = None,
        batch: int = 1,
        outer: OpenCall | None = None,
        question: Mapping[str, Any] | None = None,
    ) -> OpenCall:
        """A call starts, one of ``batch`` that start one right after the other.

        ``outer`` is the call whose child it is, where its layer knows; else it is the innermost of this context.
        ``question`` is what a LangChain run asks its model: ``messages`` or a ``prompt``. A client's request has these
        among its parameters.

        Raises:
            Exception: whatever the guard raises; the call is not to be made.
        """
        self.check()
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
        """Put a call on record, and on that of those who listen along; those of losers count for none of them."""
        with self._lock:
            self._calls.append(call)
        for other in () if call.of else listening.get():
            counts = counted and other._counts(call.info)
            twin = OpenCall(other, call.info, counts, call.sequence, call.started, of=call)
            call.twins.append(twin)
            other._enter(twin)

    def waiting(self, prompts: Sequence[Any]) -> OpenCall | None:
        """The call that waits for the answers to these prompts, and whose context does not say so.

        LangChain starts asynchronous runs of completion models in a context of their own, which ends with the start.
        """
        with self._lock:
            open_ones = [c for c in self._calls if c.prompt is not None and not c.closed and not c.batch.requests]
        found: list[OpenCall] = []
        for prompt in prompts:
            found += [call for call in open_ones if call.prompt == prompt and call not in found][:1]
        if not found or len(found) < len(prompts):
            return None
        batch = Batch(len(found))
        for place, call in enumerate(found):
            call.batch, call.place = batch, place
        return found[0]

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

    def end(self, call: OpenCall, payload: Payload | None, came: Came | None = None) -> None:
        """A call ended; ``payload`` is what its own layer saw, ``None`` where it failed or saw nothing.

        ``came`` is what a LangChain run ended with, for those who are told.

        Raises:
            MissingLogprobsError: the call has no logprobs and the recorder is to raise on that.
        """
        if call.closed:
            return  # cancelled: it ended with its request
        self.answered(call)
        told = self.told
        if told is not None and came is None:
            came = call.answered()  # before it is closed, and has none
        done = self._read(call, payload)
        call.done = None if done is None or call.passed_on(done) else done
        call.batch.over = True
        absorbed = call.absorbed()
        again = sum(other.done.tokens or 0 for other in absorbed if other.done is not None)
        if call.done is not None and absorbed and all(other.cache_hit for other in absorbed):
            call.done = replace(call.done, from_cache=True)
        for other in absorbed:
            other.done = None
        for other in (*call.inside, *call.beside):
            other.marks = b""
        call.closed, call.batch, call.inside, call.beside = True, OVER, [], []
        if told is not None:
            told.call_ended(call, () if came is None else came, again)
        if call.done is not None and call.done.generated > again:
            self.spend(call.done.generated - again)
        if self._raise_on_missing and call.counted and call.done is not None:
            self._require(call.done, call.cache_hit)

    def answered(self, call: OpenCall) -> None:
        """An answer of the call begins to come, or has come."""
        if self.lead is not None and call.counted:
            self.lead.follow()

    def _require(self, done: Call, cached: bool = False) -> None:
        if self._leading is not None and np.isnan(done.signal(self._leading)).all():
            self.failure = self.failure or MissingLogprobsError(missing(done, cached=cached))
            raise self.failure

    def _read(self, call: OpenCall, payload: Payload | None) -> Call | None:
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
            # The user's run must not die of our reading; the tokens keep their place without entropy.
            warnings.warn(f"logprobs of a call could not be read ({error!r})", CaptureWarning, stacklevel=2)
            return read(replace(payload or Payload(), entries=()))

    def _numbers(self, call: OpenCall, payload: Payload, ended: float | None) -> Call:
        readers = (self, *(twin.recorder for twin in call.twins))
        signals = tuple(dict.fromkeys(name for reader in readers for name in reader.signals))
        kept = Kept.for_all([reader._kept for reader in readers])
        read = partial(call_of, payload, signals, keep_text=kept.text, keep_candidates=kept.candidates)
        return read(node=call.info.node, model=call.info.model, started=call.started, ended=ended)

    def choose(self, place: float, choice: int) -> None:
        """The agent went on with this one of several answers that a call brought.

        Args:
            place: the call's, in call-start order.
            choice: which answer, from 0.
        """
        with self._lock:
            calls = [call.source for call in self._calls if call.sequence == place]
        for call in calls:
            if call.several is not None and call.done is not None and choice != call.choice:
                call.several = pick(call.several, choice)
                call.done = call.recorder._numbers(call, call.several, call.done.ended)
            call.choice = choice

    def brought_several(self) -> bool:
        """Whether a call brought several answers."""
        return any(call.source.several is not None for call in self._calls)

    def adopt(self, calls: Sequence[Call], *, counted: bool = True) -> None:
        """Add the finished calls of a nested question; the guard was told of them when they were made.

        Those of nested losers are not ``counted``: they cost, but are no part of this timeline.
        """
        here = call_info()
        for call in calls:
            path = (*here.path, call.node) if call.node else here.path
            self.add(call, replace(here, node=call.node, path=path, model=call.model), self.now(), counted)

    def take(self, payload: Payload, info: CallInfo, place: float) -> None:
        """Add the finished call that returned this where nobody heard it.

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
        """Put a finished call on record, at a place in call-start order; see ``now``."""
        started = done.started if done.started is not None else time.time()
        call = OpenCall(self, info, counted and self._counts(info), place, started, closed=True, done=done)
        call.cache_hit = done.from_cache
        self._enter(call, counted)
        self.answered(call)
        if (told := self.told) is not None:
            told.call_ended(call, (), 0)
        return call

    def now(self) -> float:
        """A place in call-start order: after all that has started so far, before all that will."""
        return next(_sequence)

    def answers(self) -> list[tuple[float, Answer]]:
        """What the calls heard so far came back with, and their places; of one still open, as far as it came."""
        with self._lock:
            calls = [call.source for call in self._calls]
        for call in calls:
            if not call.closed:
                with suppress(Exception):  # as in ``_read``: the user's run must not die of our reading
                    call.read(None)
        return [(call.sequence, answer) for call in calls for answer in call.answers]

    def _seen(self) -> list[tuple[OpenCall, Call]]:
        with self._lock:
            calls = sorted(self._calls, key=lambda call: call.sequence)
        # A call still open was cancelled, abandoned, or is streaming: what has arrived counts.
        read = [(c, s.done if (s := c.source).closed else s.recorder._read(s, None)) for c in calls]
        return [(call, done) for call, done in read if done is not None]

    def trajectory(self) -> Trajectory:
        """The calls that count, in call-start order.

        Raises:
            Exception: whatever the filter raised, or ``MissingLogprobsError`` met on the way.
        """
        if self.failure is not None:
            raise self.failure
        return self.counted_calls()

    def settle(self) -> None:
        """Hold calls to their limits that were never told to have ended: cancelled ones, and what came after them.

        Raises:
            Exception: as ``end``.
        """
        for call, done in self._seen():
            if not call.source.closed:
                self.spend(done.generated)
                if self._raise_on_missing and call.counted:
                    self._require(done)

    def counted_calls(self) -> Trajectory:
        """The calls that count, whatever became of the rollout."""
        return Trajectory(self.tools.placed([(call.sequence, done) for call, done in self._seen() if call.counted]))

    def release(self) -> None:
        """Let go of everything: the rollout is over and on record.

        Calls and messages with logprobs are very many small objects: they must go now, not with the garbage.
        """
        self.guard = self.told = None
        self.asking.clear()
        with self._lock:
            self._calls.clear()
        self.known.clear()

    def every_call(self) -> list[Call]:
        """All calls seen, those the filter leaves out included: what the rollout cost."""
        return [done for _, done in self._seen()]

    def facts(self) -> dict[str, Any]:
        """How the counted calls were made: temperatures, seeds, cache hits, sampling set and left out; tools run."""
        counted = [call.source for call, _ in self._seen() if call.counted]
        return {
            "temperatures": sorted({c.params["temperature"] for c in counted if "temperature" in c.params}),
            "seeds": sorted({c.params["seed"] for c in counted if "seed" in c.params}),
            "cache_hits": sum(c.cache_hit for c in counted),
            "sampling": dict(self.requests.sampling),
            "tool_calls": self.tool_calls,
            "unsampled_calls": sum(not c.sampled for c in counted) if self.requests.sampling else 0,
            **answers_of_several(counted),
        }

    def count_tool_call(self, run: UUID, name: str, arguments: Any) -> None:
        """A tool was executed."""
        sequence = next(_sequence)
        for each in (self, *listening.get()):
            with each._lock:
                each.tool_calls += 1
            each.tools.start(run, sequence, name, arguments)

    def asked_in(self, namespace: str, within: bool = False) -> bool:
        """Whether a model was called in the graph task of this checkpoint namespace, or ``within`` a graph of it."""
        with self._lock:
            spaces = [str(call.info.metadata.get("langgraph_checkpoint_ns")) for call in self._calls]
        return any(space == namespace or (within and space.startswith(f"{namespace}|")) for space in spaces)

    def started_calls(self) -> int:
        """How many calls have started so far, here or by questions within."""
        return len(self._calls) + self.within

    def places(self) -> list[float]:
        """Where the calls are that count, in call-start order."""
        with self._lock:
            return sorted(call.sequence for call in self._calls if call.counted)


current_recorder: ContextVar[Recorder | None] = ContextVar("ec_agent_recorder", default=None)
overhearing: ContextVar[Recorder | None] = ContextVar("ec_agent_overhearing", default=None)
"""Who hears LangChain's calls where there is no current recorder, for others to be told of them."""
listening: ContextVar[tuple[Recorder, ...]] = ContextVar("ec_agent_listening", default=())
"""Those who hear what the current recorder does, and leave everything else to it."""
