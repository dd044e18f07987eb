"""Install observers of questions, and call them. This is the only module that calls an observer.

To add an observer: derive a class from ``Observer``, add a place for it to ``PLACES``, and install a function that
makes one for a question: with ``observed`` for this context, with ``observe_everywhere`` for this process, or in
``ALWAYS`` for every question.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, get_args
from uuid import UUID

from ec_agent.capture.installing import recording
from ec_agent.capture.listeners import Came
from ec_agent.capture.open_calls import OpenCall
from ec_agent.capture.recorder import Recorder
from ec_agent.errors import ProgressWarning
from ec_agent.rollouts.langchain_events import langchain_events
from ec_agent.rollouts.langsmith import langsmith_feedback
from ec_agent.rollouts.observer import AttemptId, Observer, OpenedQuestion
from ec_agent.rollouts.progress import custom_stream
from ec_agent.support.plans import Plan

P = ParamSpec("P")
Observes = Callable[[OpenedQuestion], Observer | None]
"""Makes an observer for a question; returns ``None`` to leave the question unobserved."""

Place = Literal["custom stream", "on_event", "run", "recording", "tracing", "LangSmith", "LangChain's callbacks"]
PLACES: tuple[Place, ...] = get_args(Place)
"""The order in which observers are called. It does not depend on the order of their installation."""

ALWAYS: Mapping[Place, Observes] = {
    "custom stream": custom_stream,
    "LangSmith": langsmith_feedback,
    "LangChain's callbacks": langchain_events,
}


@dataclass(eq=False, slots=True)
class Installed:
    """An installed maker of observers.

    Attributes:
        place: its place in the order of calls; warnings use it as a name.
        make: makes the observer of a question.
        key: tells makers at one place apart. A new one replaces an old one with the same place and key.
        gone: whether one of its observers has failed; then none of its observers is called again.
    """

    place: Place
    make: Observes
    key: Any = None
    gone: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def failed(self, moment: str, error: Exception) -> None:
        """Warn that an observer failed, once, and call none of its observers again.

        The error is not raised, because it would cost rollouts that are paid for.
        """
        with self._lock:
            warned, self.gone = self.gone, True
        if not warned:
            warnings.warn(
                f"{self.place} failed at {moment.replace('_', ' ')} ({error!r}) and is not called again; the run goes "
                "on, and its receipt is complete. Correct the code that failed",
                ProgressWarning,
                stacklevel=3,
            )


_everywhere: dict[Place, Observes] = {}
_here: ContextVar[tuple[Installed, ...]] = ContextVar("ec_agent_observers", default=())


def observe_everywhere(place: Place, make: Observes | None) -> None:
    """Observe all questions of this process from now on, also those that rollouts ask; ``None`` ends that.

    Questions that are running keep their observers.
    """
    if make is None:
        _everywhere.pop(place, None)
    else:
        _everywhere[place] = make


@contextmanager
def observed(*more: Installed, but: Iterable[Place] = ()) -> Iterator[None]:
    """Inside the ``with`` block, observe questions that are asked in this context or in a copy of it.

    Questions that a rollout asks are not observed.

    Args:
        *more: makers of observers, in addition to those that are installed in this context already.
        but: places whose observers, though installed, are not called inside the block.
    """
    replaced = {(each.place, each.key) for each in more}
    around = [each for each in _here.get() if each.place not in but and (each.place, each.key) not in replaced]
    token = _here.set((*around, *more))
    try:
        yield
    finally:
        _here.reset(token)


def unobserved() -> AbstractContextManager[None]:
    """Inside the ``with`` block, call only observers that observe everywhere.

    The block is a rollout: questions asked in it are parts of another question, which has its own observers.
    """
    return observed(but=PLACES)


class Audience:
    """All observers of one question. Observers are called here and nowhere else.

    Args:
        observers: the observers with their makers, in the order of calls.
    """

    def __init__(self, observers: Sequence[tuple[Installed, Observer]] = ()) -> None:
        self._observers = observers
        self._hearers: dict[str, list[tuple[Installed, Any]]] = {}
        for name, idle in vars(Observer).items():
            if callable(idle):
                hearing = [each for each in observers if getattr(type(each[1]), name) is not idle]
                self._hearers[name] = [(installed, getattr(observer, name)) for installed, observer in hearing]
        self._attempts: Counter[tuple[int, int]] = Counter()

    def hears(self, *moments: Callable[..., Any]) -> bool:
        """Whether any observer has written a method for one of these moments."""
        return any(self._hearers[moment.__name__] for moment in moments)

    @property
    def reads_calls(self) -> bool:
        """Whether any observer reads what calls are asked and what they come back with."""
        return any(observer.reads_calls for _, observer in self._observers)

    def tell(self, moment: Callable[Concatenate[Any, P], None], *given: P.args, **named: P.kwargs) -> None:
        """Call one method of all observers: ``audience.tell(Observer.rollout_started, rollout)``."""
        for installed, hear in self._hearers[moment.__name__]:
            if not installed.gone:
                try:
                    hear(*given, **named)
                except Exception as error:
                    installed.failed(moment.__name__, error)

    def telling(
        self, moment: Callable[Concatenate[Any, P], Plan[None] | None], *given: P.args, **named: P.kwargs
    ) -> Plan[None]:
        """Call one method of all observers, where it may return a plan of steps to wait for.

        Raises:
            Exception: an observer with ``may_raise`` raised it.
        """
        for installed, hear in self._hearers[moment.__name__]:
            if not installed.gone:
                try:
                    if (plan := hear(*given, **named)) is not None:
                        yield from plan
                except Exception as error:
                    if hear.__self__.may_raise:
                        raise
                    installed.failed(moment.__name__, error)

    @contextmanager
    def around(
        self,
        moment: Callable[Concatenate[Any, P], AbstractContextManager[None]],
        *given: P.args,
        **named: P.kwargs,
    ) -> Iterator[None]:
        """Enter the context manager that each observer's method returns; the first observer's is outermost."""
        with ExitStack() as stack:
            for installed, hear in self._hearers[moment.__name__]:
                if not installed.gone:
                    stack.push(_Entered(installed, moment.__name__, partial(hear, *given, **named)).leave)
            yield

    @contextmanager
    def choosing(self, recorder: Recorder) -> Iterator[None]:
        """Enter the contexts around the choice; record and report the LLM calls that the selector makes."""
        told = CallsAudience(self, None)
        recorder.told = told if told.calls else None
        with self.around(Observer.around_choice), recording(recorder):
            yield

    def rollout(self, index: int, round: int, acting: bool, agent: str | None = None) -> RolloutAudience:
        """Number a new attempt at a rollout, and return what reports its events to the observers."""
        attempt = self._attempts[round, index]
        self._attempts[round, index] += 1
        return RolloutAudience(self, AttemptId(index, round, attempt, acting, agent))


class _Entered:
    """Enters an observer's context manager and leaves it later. Errors of either become warnings."""

    def __init__(self, installed: Installed, moment: str, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._installed, self._moment = installed, moment
        self._context: AbstractContextManager[None] | None = None
        try:
            context = make()
            context.__enter__()
            self._context = context
        except Exception as error:
            installed.failed(moment, error)

    def leave(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None, /) -> None:
        """Leave the context manager, with the error that ends its block, if any."""
        if self._context is None:
            return
        try:
            self._context.__exit__(kind, error, at)
        except Exception as own:
            if own is not error:
                self._installed.failed(self._moment, own)


class CallsAudience:
    """Reports LLM calls and tools, as a recorder hears of them, to all observers of the question.

    Attributes:
        calls: whether any observer wants events of calls and tools.
        parts: whether any observer wants an event for each part of a streamed answer.
    """

    def __init__(self, audience: Audience, attempt: AttemptId | None) -> None:
        self._audience, self._attempt = audience, attempt
        self.parts = audience.hears(Observer.call_streamed)
        calls = Observer.call_started, Observer.call_ended, Observer.tool_started, Observer.tool_ended
        self.calls = self.parts or audience.hears(*calls)

    def call_started(self, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """Report that an LLM call has started."""
        self._audience.tell(Observer.call_started, self._attempt, call, asked)

    def call_streamed(self, call: OpenCall) -> None:
        """Report that a part of a call's answer has come."""
        self._audience.tell(Observer.call_streamed, self._attempt, call)

    def call_ended(self, call: OpenCall, came: Came, told_before: int) -> None:
        """Report that an LLM call has ended."""
        self._audience.tell(Observer.call_ended, self._attempt, call, came, told_before)

    def tool_started(self, run: UUID, name: str) -> None:
        """Report that a tool has started."""
        self._audience.tell(Observer.tool_started, self._attempt, run, name)

    def tool_ended(self, run: UUID, failed: bool) -> None:
        """Report that a tool has ended."""
        self._audience.tell(Observer.tool_ended, self._attempt, run, failed)


class RolloutAudience(CallsAudience):
    """Reports the events of one attempt, with those of its recorder, to all observers of the question.

    Attributes:
        id: identifies the attempt.
    """

    def __init__(self, audience: Audience, attempt: AttemptId) -> None:
        super().__init__(audience, attempt)
        self.id = attempt

    def started(self) -> None:
        """Report that the attempt starts."""
        self._audience.tell(Observer.rollout_started, self.id)

    def running(self) -> AbstractContextManager[None]:
        """Return the context in which the agent runs."""
        return self._audience.around(Observer.around_rollout, self.id)

    def ended(self, record: Any, failure: BaseException | None) -> None:
        """Report that the attempt has ended, with its record."""
        self._audience.tell(Observer.rollout_ended, self.id, record, failure)


def audience_of(question: OpenedQuestion) -> Audience:
    """Make the observers of a question that is opened in this context, in the order of ``PLACES``."""
    installed = [*_here.get(), *(Installed(*each) for each in (*ALWAYS.items(), *_everywhere.items()))]
    observers = []
    for each in sorted(installed, key=lambda each: PLACES.index(each.place)):
        try:
            observer = None if each.gone else each.make(question)
        except Exception as error:
            each.failed("making an observer", error)
            continue
        if observer is not None:
            observers.append((each, observer))
    return Audience(observers)
