"""Observers of questions: where they are installed, and the one place where they are called.

To add one: derive from ``Observer``; give it a place in ``PLACES``; install what makes it, with ``observed`` (in this
context), ``observe_everywhere`` (in this process) or in ``ALWAYS`` (with every question).
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

from ec_agent.capture.calls import OpenCall, Request
from ec_agent.errors import ProgressWarning
from ec_agent.rollouts.langchain_events import langchain_events
from ec_agent.rollouts.langsmith import langsmith_feedback
from ec_agent.rollouts.observer import AttemptId, Observer, OpenedQuestion
from ec_agent.rollouts.progress import custom_stream
from ec_agent.support.plans import Plan

P = ParamSpec("P")
Observes = Callable[[OpenedQuestion], Observer | None]
"""Makes an observer for a question; ``None`` where it does not want to know of it."""

Place = Literal["custom stream", "on_event", "run", "recording", "tracing", "LangSmith", "LangChain's callbacks"]
PLACES: tuple[Place, ...] = get_args(Place)
"""In this order observers are called, whoever was installed first."""

ALWAYS: Mapping[Place, Observes] = {
    "custom stream": custom_stream,
    "LangSmith": langsmith_feedback,
    "LangChain's callbacks": langchain_events,
}


@dataclass(eq=False, slots=True)
class Installed:
    """What makes observers of questions.

    Attributes:
        place: where in the order it is; warnings call it so.
        make: makes the observer.
        key: of several in one place, those with the same key replace each other.
        gone: an observer that it made has failed, and none of its observers is called again.
    """

    place: Place
    make: Observes
    key: Any = None
    gone: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def failed(self, moment: str, error: Exception) -> None:
        """Not to be called again. What fails there must not cost the rollouts, which are paid for."""
        with self._lock:
            told, self.gone = self.gone, True
        if not told:
            warnings.warn(
                f"{self.place} failed at {moment.replace('_', ' ')} ({error!r}) and is not called again; the run goes "
                "on: mend it, or see the receipt for what came of it",
                ProgressWarning,
                stacklevel=3,
            )


_everywhere: dict[Place, Observes] = {}
_here: ContextVar[tuple[Installed, ...]] = ContextVar("ec_agent_observers", default=())


def observe_everywhere(place: Place, make: Observes | None) -> None:
    """From now on questions of this process are observed, nested ones, too; ``None`` ends it, for those yet to come."""
    if make is None:
        _everywhere.pop(place, None)
    else:
        _everywhere[place] = make


@contextmanager
def observed(*more: Installed, but: Iterable[Place] = ()) -> Iterator[None]:
    """Questions asked inside, in this context and those copied from it, are observed; those of rollouts are not.

    Args:
        *more: by whom, besides those around.
        but: the places of those around who are not to hear of them.
    """
    replaced = {(each.place, each.key) for each in more}
    around = [each for each in _here.get() if each.place not in but and (each.place, each.key) not in replaced]
    token = _here.set((*around, *more))
    try:
        yield
    finally:
        _here.reset(token)


def unobserved() -> AbstractContextManager[None]:
    """Questions asked inside are observed only by those who observe everywhere: they are part of a rollout."""
    return observed(but=PLACES)


class Audience:
    """All who observe one question. Observers are called here and nowhere else.

    Args:
        observers: who, in their order.
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
        """Whether anybody wants to know of one of these."""
        return any(self._hearers[moment.__name__] for moment in moments)

    def tell(self, moment: Callable[Concatenate[Any, P], None], *given: P.args, **named: P.kwargs) -> None:
        """Tell all of a moment: ``audience.tell(Observer.rollout_started, rollout)``."""
        for installed, hear in self._hearers[moment.__name__]:
            if not installed.gone:
                try:
                    hear(*given, **named)
                except Exception as error:
                    installed.failed(moment.__name__, error)

    def telling(
        self, moment: Callable[Concatenate[Any, P], Plan[None] | None], *given: P.args, **named: P.kwargs
    ) -> Plan[None]:
        """Tell all of a moment at which observers may have to wait."""
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
        """Enter what each has around that, the first outermost."""
        with ExitStack() as stack:
            for installed, hear in self._hearers[moment.__name__]:
                if not installed.gone:
                    stack.push(_Entered(installed, moment.__name__, partial(hear, *given, **named)).leave)
            yield

    def rollout(self, index: int, round: int, acting: bool) -> RolloutAudience:
        """An attempt at a rollout is made; who is told of it."""
        attempt = self._attempts[round, index]
        self._attempts[round, index] += 1
        return RolloutAudience(self, AttemptId(index, round, attempt, acting))


class _Entered:
    """An observer's context, entered; neither entering nor leaving it fails."""

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
        """Leave it, as that error or none leaves it."""
        if self._context is None:
            return
        try:
            self._context.__exit__(kind, error, at)
        except Exception as own:
            if own is not error:
                self._installed.failed(self._moment, own)


class RolloutAudience:
    """Those who observe a question, for what one attempt at a rollout tells: what its recorder tells, too.

    Attributes:
        id: which attempt.
        calls: whether anybody wants to know of its calls and tools.
        parts: whether anybody wants to know of parts of answers.
    """

    def __init__(self, audience: Audience, attempt: AttemptId) -> None:
        self.id = attempt
        self._audience = audience
        self.parts = audience.hears(Observer.call_streamed)
        calls = Observer.call_started, Observer.call_ended, Observer.tool_started, Observer.tool_ended
        self.calls = self.parts or audience.hears(*calls)

    def started(self) -> None:
        """The attempt begins."""
        self._audience.tell(Observer.rollout_started, self.id)

    def running(self) -> AbstractContextManager[None]:
        """Around the agent's run."""
        return self._audience.around(Observer.around_rollout, self.id)

    def ended(self, record: Any, failure: BaseException | None) -> None:
        """The attempt is over, and on record."""
        self._audience.tell(Observer.rollout_ended, self.id, record, failure)

    def call_started(self, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """The recorder hears of a call."""
        self._audience.tell(Observer.call_started, self.id, call, asked)

    def call_streamed(self, call: OpenCall) -> None:
        """A part of its answer came."""
        self._audience.tell(Observer.call_streamed, self.id, call)

    def call_ended(self, call: OpenCall, requests: Sequence[Request], again: int) -> None:
        """It is over."""
        self._audience.tell(Observer.call_ended, self.id, call, requests, again)

    def tool_started(self, run: UUID, name: str) -> None:
        """A tool runs."""
        self._audience.tell(Observer.tool_started, self.id, run, name)

    def tool_ended(self, run: UUID, failed: bool) -> None:
        """It is over."""
        self._audience.tell(Observer.tool_ended, self.id, run, failed)


def audience_of(question: OpenedQuestion) -> Audience:
    """Those who observe a question that is opened here and now, in the order of ``PLACES``."""
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
