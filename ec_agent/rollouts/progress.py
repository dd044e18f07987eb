"""Make progress events of what a question does while it runs: small plain dicts, which docs/live.md lists."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from ec_agent.capture.listeners import Came
from ec_agent.capture.open_calls import OpenCall
from ec_agent.insides.langgraph import RUNTIME, anybody_hears
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.trajectory import Call
from ec_agent.rollouts.observer import AttemptId, Chosen, Observer, OpenedQuestion, moment
from ec_agent.rollouts.record import Record, was_cancelled

MOST_MEANS = 32  # mean entropies per call, so that events stay small however long the answer is
STREAMING_EVERY = 0.2  # seconds between events about a streamed answer

Emit = Callable[[Mapping[str, Any]], None]


@dataclass(eq=False, slots=True)
class _Told:
    """What the events of one attempt have reported so far."""

    index: int
    here: Context
    tools: dict[UUID, str] = field(default_factory=dict)
    calls: int = 0
    tokens: int = 0
    due: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(eq=False, slots=True)
class _Asked:
    """What the selector has asked so far."""

    calls: int = 0
    tokens: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class ProgressEvents(Observer):
    """Turns what happens into events, and passes each to a function.

    Args:
        emit: gets each event.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._question, self._n = "", 0
        self._asked = _Asked()
        self._told: dict[AttemptId | None, _Told] = {}

    def question_asked(self, name: str, n: int) -> None:
        """Note the number of rollouts and a short form of the question's name, which all its events carry."""
        self._question, self._n = hashlib.sha256(name.encode()).hexdigest()[:8], n

    def wave_started(self, wave: int, round: int, indices: Sequence[int]) -> None:
        """Send the event ``ec_agent.wave``."""
        self._tell("wave", wave=wave, round=round, indices=list(indices), n=self._n)

    def enough_known(self, reason: str, started: int) -> None:
        """Send the event ``ec_agent.stopped``, which says why no more rollouts are started."""
        self._tell("stopped", reason=reason, started=started, n=self._n)

    def rollout_started(self, rollout: AttemptId) -> None:
        """Send ``ec_agent.rollout.started``, and keep the context of this place for later events of the attempt.

        Events that come from inside the agent are sent in that context. In the agent's own, LangGraph would take them
        for events of the agent's graph.
        """
        told = self._told[rollout] = _Told(rollout.index, copy_context())
        of_agent = {} if rollout.agent is None else {"agent": rollout.agent}
        self._tell_of(told, "started", n=self._n, round=rollout.round, acting=rollout.acting, **of_agent)

    def rollout_ended(self, rollout: AttemptId, record: Record, failure: BaseException | None) -> None:
        """Send ``ec_agent.rollout.finished``, or ``.cancelled``. What its threads do afterwards gives no events."""
        if (told := self._told.pop(rollout, None)) is None:
            return
        if was_cancelled(record):
            self._tell_of(told, "cancelled", seconds=record["seconds"])
        else:
            self._tell_of(told, "finished", error=record["error"], seconds=record["seconds"])

    def call_started(self, rollout: AttemptId | None, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """Send ``ec_agent.rollout.call``, or ``.selector.call``, with state "started"; if the call counts."""
        if rollout is None:
            self._tell("selector.call", state="started", call=call.sequence, model=call.info.model)
        elif call.counted and (told := self._told.get(rollout)) is not None:
            about = {"call": call.sequence, "model": call.info.model, "node": call.info.node}
            self._tell_of(told, "call", state="started", **about)

    def call_streamed(self, rollout: AttemptId | None, call: OpenCall) -> None:
        """Send ``ec_agent.rollout.call`` with state "streaming", at most five times a second."""
        told, now = self._told.get(rollout), time.monotonic()
        if told is not None and now >= told.due:
            told.due = now + STREAMING_EVERY
            self._tell_of(told, "call", state="streaming", call=call.sequence, parts=call.parts)

    def call_ended(self, rollout: AttemptId | None, call: OpenCall, came: Came, told_before: int) -> None:
        """Send ``ec_agent.rollout.call`` with state "ended", the call's numbers, and the rollout's so far.

        For a selector's call, send ``ec_agent.selector.call`` with what the selector has asked so far.
        """
        if rollout is None:
            self._selector_answered(call, told_before)
            return
        told, done = self._told.get(rollout), call.done
        if told is None or not call.counted:
            return
        with told.lock:
            told.calls += done is not None
            told.tokens += max(done.generated - told_before, 0) if done is not None else 0
            so_far = {"calls": told.calls, "tokens": told.tokens}
        about: dict[str, Any] = {"call": call.sequence, "model": call.info.model if done is None else done.model}
        about |= {"node": call.info.node, **so_far, **_numbers(done, hidden=told_before > 0)}
        self._tell_of(told, "call", state="ended", **about)

    def _selector_answered(self, call: OpenCall, told_before: int) -> None:
        done = call.done
        with self._asked.lock:
            self._asked.calls += done is not None
            self._asked.tokens += max(done.generated - told_before, 0) if done is not None else 0
            so_far = {"calls": self._asked.calls, "tokens": self._asked.tokens}
        about = {"call": call.sequence, "model": call.info.model if done is None else done.model}
        self._tell("selector.call", state="ended", **about, answered=done is not None, **so_far)

    def tool_started(self, rollout: AttemptId | None, run: UUID, name: str) -> None:
        """Send ``ec_agent.rollout.tool`` with state "started"."""
        if (told := self._told.get(rollout)) is not None:
            told.tools[run] = name
            self._tell_of(told, "tool", state="started", tool=name, run=str(run))

    def tool_ended(self, rollout: AttemptId | None, run: UUID, failed: bool) -> None:
        """Send ``ec_agent.rollout.tool`` with state "ended" or "failed"."""
        told = self._told.get(rollout)
        if told is not None and (name := told.tools.pop(run, None)) is not None:
            state = "failed" if failed else "ended"
            self._tell_of(told, "tool", state=state, tool=name, run=str(run))

    def chosen(self, chosen: Chosen) -> None:
        """Send ``ec_agent.rollout.scored`` for each candidate, then ``ec_agent.selection`` with the receipt."""
        for candidate in chosen.selection.candidates:
            about = {"index": candidate.index, "score": candidate.score, "centroid": candidate.centroid}
            self._tell("rollout.scored", **about, reason=candidate.reason)
        self._tell("selection", selection=chosen.selection.to_dict())

    def commit_started(self, tool: str, key: str) -> None:
        """Send ``ec_agent.commit``."""
        self._tell("commit", tool=tool, key=key)

    def _tell_of(self, told: _Told, event: str, **details: Any) -> None:
        # Use a copy: one context cannot be entered twice at a time, and an agent may make calls side by side.
        told.here.copy().run(self._tell, f"rollout.{event}", index=told.index, **details)

    def _tell(self, event: str, **details: Any) -> None:
        stamp = {"question": self._question, "time": round(moment(), 3)}
        self._emit({"type": f"ec_agent.{event}", **details, **stamp})


def custom_stream(question: OpenedQuestion) -> ProgressEvents | None:
    """Make the observer that sends events to the outer graph's custom stream; ``None`` if nobody streams that."""
    runtime = (question.config.get("configurable") or {}).get(RUNTIME)
    write = None if runtime is None else runtime.stream_writer
    return ProgressEvents(write) if write is not None and anybody_hears(write) else None


def _numbers(done: Call | None, *, hidden: bool) -> dict[str, object]:
    if done is None:
        return {"answered": False, "generated": None, "entropies": [], "seconds": None}
    timed = done.started is not None and done.ended is not None
    return {
        "answered": True,
        "generated": done.tokens,
        "entropies": [] if hidden else means(done.entropies),
        "seconds": round(done.ended - done.started, 3) if timed else None,  # type: ignore[operator]
    }


def means(entropies: FloatArray, most: int = MOST_MEANS) -> list[float | None]:
    """Split the tokens into equal stretches and return each stretch's mean entropy, in nats, to three decimals.

    Args:
        entropies: shape ``(T,)``, NaN where a token has no entropy.
        most: the largest number of stretches. If there are fewer tokens, each token is a stretch.

    Returns:
        One mean per stretch; ``None`` for a stretch in which no token has an entropy.
    """
    length = len(entropies)
    if not length:
        return []
    starts = np.linspace(0, length, min(length, most), endpoint=False).astype(int)
    known = ~np.isnan(entropies)
    sums = np.add.reduceat(np.where(known, entropies, 0.0), starts)
    counts = np.add.reduceat(known.astype(int), starts)
    return [round(float(s / c), 3) if c else None for s, c in zip(sums, counts, strict=True)]
