"""What observers are told of rollouts on workers: a worker sends each moment, and the driver tells its observers of it.

A moment travels as a progress event of the engine: ``{"moment": bytes}``, with the sums of calls and tokens beside it,
by which an engine knows what is lost with a worker.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from ec_agent.capture.filters import CallInfo
from ec_agent.capture.listeners import Came
from ec_agent.capture.open_calls import OpenCall
from ec_agent.engines.base import Tell
from ec_agent.engines.pickling import comes_back
from ec_agent.errors import RolloutError
from ec_agent.numbers.trajectory import Call
from ec_agent.rollouts.attempt import described
from ec_agent.rollouts.messages import without_logprobs
from ec_agent.rollouts.observer import AttemptId, Observer, as_of, moment
from ec_agent.rollouts.observing import Audience, Installed, RolloutAudience
from ec_agent.rollouts.record import Record
from ec_agent.support.prompt_leader import Lead

Failure = TypeVar("Failure", bound=BaseException)

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the driver's observers want to be told.

    Attributes:
        moments: attempts, calls and tools.
        parts: parts of streamed answers, too.
        whole: what calls were asked and what they came back with, too.
    """

    moments: bool = False
    parts: bool = False
    whole: bool = False

    @classmethod
    def by(cls, told: Audience) -> Wanted:
        """What these observers want."""
        calls = Observer.call_started, Observer.call_ended, Observer.tool_started, Observer.tool_ended
        attempts = Observer.rollout_started, Observer.around_rollout, Observer.rollout_ended
        parts = told.hears(Observer.call_streamed)
        return cls(told.hears(*calls, *attempts) or parts, parts, told.reads_calls)


def told_by(tell: Tell, wanted: Wanted) -> tuple[Audience, LastEnd]:
    """Make the observers of a rollout on a worker.

    Args:
        tell: sends progress events to the driver.
        wanted: what the driver's observers want.
    """
    sender: LastEnd = _Sums(tell)
    if wanted.moments:
        sender = _Parts(tell, wanted) if wanted.parts else _Moments(tell, wanted)
    return Audience([(Installed("run", lambda _: sender), sender)]), sender


class TellingLead(Lead):
    """The lead of a rollout on a worker. Those that follow it are told by the driver.

    Args:
        tell: sends progress events to the driver.
    """

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def follow(self) -> None:
        """Tell the driver that the others may follow."""
        if not self.followed:
            self._tell({"moment": pickle.dumps(("followed",))})
        super().follow()


class LastEnd(Observer):
    """Keeps how the last attempt at a rollout ended.

    Attributes:
        last: its record, its error, and when it ended; ``None`` before an attempt has ended.
    """

    last: tuple[Record, BaseException | None, float] | None = None

    def rollout_ended(self, rollout: AttemptId, record: Record, failure: BaseException | None) -> None:
        """Keep the end."""
        self.last = record, failure, moment()


class _Sums(LastEnd):
    """Tells how many calls were made, and how many tokens they generated."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._calls = self._tokens = 0
        self._lock = threading.Lock()

    def call_ended(self, rollout: AttemptId | None, call: OpenCall, came: Came, told_before: int) -> None:
        self._tell(self._so_far(call, told_before))

    def _so_far(self, call: OpenCall, told_before: int) -> dict[str, Any]:
        with self._lock:
            self._calls += call.done is not None
            self._tokens += max(call.done.generated - told_before, 0) if call.done is not None else 0
            return {"calls": self._calls, "tokens": self._tokens}


class _Moments(_Sums):
    """Tells all that observers may want to know, but for streamed parts."""

    def __init__(self, tell: Tell, wanted: Wanted) -> None:
        super().__init__(tell)
        self._wanted = wanted

    def _send(self, what: str, *details: Any, **more: Any) -> None:
        self._tell({"moment": _packed(what, moment(), *details), **more})

    def rollout_started(self, rollout: AttemptId) -> None:
        if self.last is not None:  # the driver tells of the last end itself: it has the record anyway
            record, failure, when = self.last
            error = None if failure is None else sendable(failure)
            self._tell({"moment": _packed("ended", when, record, error)})
        self._send("started")

    def call_started(self, rollout: AttemptId | None, call: OpenCall, asked: Mapping[str, Any]) -> None:
        self._send("call_started", *_passed(call), _alone(dict(asked)) if self._wanted.whole else {})

    def call_ended(self, rollout: AttemptId | None, call: OpenCall, came: Came, told_before: int) -> None:
        back = _alone(_short(came)) if self._wanted.whole else None
        self._send("call_ended", *_passed(call), back, told_before, **self._so_far(call, told_before))

    def tool_started(self, rollout: AttemptId | None, run: UUID, name: str) -> None:
        self._send("tool_started", run, name)

    def tool_ended(self, rollout: AttemptId | None, run: UUID, failed: bool) -> None:
        self._send("tool_ended", run, failed)


class _Parts(_Moments):
    """Tells of streamed parts as well, of each call a few times a second."""

    EVERY = 0.2

    def __init__(self, tell: Tell, wanted: Wanted) -> None:
        super().__init__(tell, wanted)
        self._due = 0.0

    def call_streamed(self, rollout: AttemptId | None, call: OpenCall) -> None:
        if (now := moment()) >= self._due:
            self._due = now + self.EVERY
            self._send("call_streamed", *_passed(call))


def _packed(what: str, when: float, *details: Any) -> bytes:
    return pickle.dumps((what, when, *details))


def _alone(value: Any) -> Any:
    """Return what was asked or came back, if it can be sent; else nothing."""
    try:
        pickle.dumps(value)
    except Exception:  # an object of somebody else's, whose pickling may raise anything
        return {} if isinstance(value, dict) else None
    return value


def _passed(call: OpenCall) -> tuple[float, float | None, bool, dict[str, Any]]:
    """Return a call's place, that of the call around it, whether that one streams, and what is known of it."""
    metadata = {name: value for name, value in call.info.metadata.items() if isinstance(value, _PLAIN)}
    info = CallInfo(call.info.node, call.info.path, call.info.tags, metadata, call.info.model)
    outer = call.outer
    known = {
        "info": info,
        "counted": call.counted,
        "started": call.started,
        "bare": call.bare,
        "parts": call.parts,
        "done": None if call.done is None else _bare(call.done),
    }
    return call.sequence, None if outer is None else outer.sequence, outer is not None and outer.speaking, known


def _bare(done: Call) -> Call:
    """Return a call without what only its record needs."""
    return replace(done, signals={}, texts=None, candidates=None, tools=())


def _short(came: Came) -> Any:
    """Return what ended a call, without logprobs."""
    if isinstance(came, BaseException):
        return sendable(came)
    if not isinstance(came, LLMResult):
        return came
    return LLMResult(generations=[[_without(each) for each in generations] for generations in came.generations])


def _without(generation: Any) -> Any:
    told = {name: value for name, value in (generation.generation_info or {}).items() if name != "logprobs"}
    message = getattr(generation, "message", None)
    if isinstance(message, BaseMessage):
        return ChatGeneration(message=without_logprobs(message), generation_info=told or None)
    return Generation(text=generation.text, generation_info=told or None)


def sendable(error: Failure) -> Failure | RolloutError:
    """Return the error, or one with the same text if it cannot be pickled."""
    if comes_back(error):
        return error
    return RolloutError(described(error) if isinstance(error, Exception) else repr(error))


class Relay:
    """The driver's side: it tells a question's observers of one rollout that runs on a worker.

    They are told in the context in which the rollout was asked for; in an async run also on the caller's event loop.

    Args:
        audience: makes the audience of one attempt.
        lost: makes the record of an attempt that was lost with its worker.
        lead: lets other rollouts follow; ``None`` if it leads none.
    """

    def __init__(
        self, audience: Callable[[], RolloutAudience], lost: Callable[[Exception], Record], lead: Lead | None
    ) -> None:
        self._audience, self._lost, self._lead = audience, lost, lead
        self._here = copy_context()
        self._lock = threading.RLock()
        self._over = False
        self._open: RolloutAudience | None = None
        self._around: AbstractContextManager[None] | None = None
        self._calls: dict[float, OpenCall] = {}
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in a progress event; the engine calls this on a thread of its own."""
        if "moment" not in event:
            return
        what, *details = pickle.loads(event["moment"])
        if what == "followed":
            if self._lead is not None:
                self._lead.follow()
        else:
            self._later(lambda: self._tell(what, *details))

    def lose(self, error: Exception) -> None:
        """Take in that the rollout's worker died; it may begin again on another."""
        self._later(lambda: self._end(self._lost(error), error))

    def end(self, record: Record, failure: BaseException | None, when: float | None = None) -> None:
        """Tell the end of the last attempt, ``when`` it was; called where the rollout was asked for."""
        with self._lock:
            self._here.run(self._ended_at, when, record, failure)
            self._over = True

    def leave(self) -> None:
        """Tell nothing any more; called where the rollout was asked for."""
        with self._lock:
            self._over = True
            self._here.run(self._leave)

    def _later(self, tell: Callable[[], None]) -> None:
        if self._loop is None:
            self._now(tell)
        else:
            self._loop.call_soon_threadsafe(self._now, tell)

    def _now(self, tell: Callable[[], None]) -> None:
        with self._lock:
            if not self._over:
                self._here.run(tell)

    def _tell(self, what: str, when: float, *details: Any) -> None:
        with as_of(when):
            if what == "started":
                self._start()
            elif what == "ended":
                self._end(*details)
            elif self._open is not None:
                getattr(self, f"_{what}")(self._open, *details)

    def _ended_at(self, when: float | None, record: Record, failure: BaseException | None) -> None:
        with nullcontext() if when is None else as_of(when):
            self._end(record, failure, at_last=True)

    def _start(self) -> RolloutAudience:
        self._leave()
        self._open = self._audience()
        self._calls.clear()
        self._open.started()
        self._around = self._open.running()
        self._around.__enter__()
        return self._open

    def _end(self, record: Record, failure: BaseException | None, at_last: bool = False) -> None:
        if self._open is None and not at_last:  # nobody was told that it began
            return
        audience = self._open or self._start()
        self._leave()
        audience.ended(record, failure)

    def _leave(self) -> None:
        around, self._around, self._open = self._around, None, None
        if around is not None:
            around.__exit__(None, None, None)

    def _call_started(self, audience: RolloutAudience, *details: Any) -> None:
        *passed, asked = details
        if audience.calls:
            audience.call_started(self._call(*passed), asked)

    def _call_streamed(self, audience: RolloutAudience, *passed: Any) -> None:
        if audience.parts:
            audience.call_streamed(self._call(*passed))

    def _call_ended(self, audience: RolloutAudience, *details: Any) -> None:
        *passed, came, told_before = details
        if audience.calls:
            audience.call_ended(self._call(*passed), came, told_before)

    def _tool_started(self, audience: RolloutAudience, run: UUID, name: str) -> None:
        if audience.calls:
            audience.tool_started(run, name)

    def _tool_ended(self, audience: RolloutAudience, run: UUID, failed: bool) -> None:
        if audience.calls:
            audience.tool_ended(run, failed)

    def _call(self, place: float, outer: float | None, speaking: bool, known: Mapping[str, Any]) -> OpenCall:
        """Return what stands here for a call on the worker, always the same object."""
        call = self._calls.get(place)
        if call is None:
            nowhere: Any = None  # its recorder stays on the worker
            call = self._calls[place] = OpenCall(nowhere, known["info"], known["counted"], place, known["started"])
        for name, value in known.items():
            setattr(call, name, value)
        call.outer = None if outer is None else self._calls.get(outer)
        if call.outer is not None:
            call.outer.speaking = speaking
        return call
