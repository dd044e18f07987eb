"""A worker on Ray: one actor, which runs several pieces at once. Ray is not needed to read this module.

Its methods are called on threads of the actor. Pieces run on one event loop of ours (``ec_agent.support.loop``) and not
on Ray's: code that calls ``sys.exit`` would end Ray's, and with it every other piece, without a word.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import sys
import threading
import time
import traceback
import warnings
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ec_agent.engines.base import Work
from ec_agent.engines.pickling import comes_back
from ec_agent.errors import ConfigError, EcAgentError, EcAgentWarning, EvaluationError
from ec_agent.support.loop import run_to_its_end

MOST_EVENTS = 5_000
"""Progress events that wait for the driver. If it asks too rarely, the oldest are dropped."""

_IDLE = 5.0  # seconds until ``news`` returns though there is none
_MOST_EARLY = 1_000  # words about pieces that have not begun, of which some were over already
_SPARE = 8  # subjects that are kept ready beside those of the pieces under way


@dataclass(slots=True)
class Delivered:
    """What came of a piece.

    Attributes:
        result: what the work returned.
        error: what it raised instead.
        events: its progress events that the driver may not have: pairs of a number and the event.
        warned: the warnings that were given on this worker since it last delivered something: classes and texts.
    """

    result: Any = None
    error: BaseException | None = None
    events: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    warned: list[tuple[type[Warning], str]] = field(default_factory=list)


@dataclass(slots=True)
class News:
    """What happened on a worker since it was last asked.

    Attributes:
        so_far: by ticket: the model calls that a running piece has made, and the tokens they generated.
        events: progress events in their order, each after its ticket and its number.
    """

    so_far: dict[int, tuple[int, int]]
    events: list[tuple[int, int, Mapping[str, Any]]]


class Worker:
    """A worker, as its actor runs it. Making one does nothing that could fail; ``hello`` does.

    Args:
        job: ``(make, look, arguments)``, pickled.
        about: what must be the same here; ``look`` tells what is.
        place: the driver's working directory, and the folders from which it imports.
        listened: whether anybody wants progress events.
        most: how many pieces run at once.
    """

    def __init__(
        self, job: bytes, about: Mapping[str, Any], place: tuple[str, Sequence[str]], listened: bool, most: int
    ) -> None:
        self._job, self._about, self._place = job, about, place
        self._listened, self._most = listened, most
        self._work: Work | None = None
        self._ready: OrderedDict[bytes, Any] = OrderedDict()
        self._running: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = {}
        self._pieces: dict[int, Any] = {}
        self._early: deque[tuple[str, int]] = deque(maxlen=_MOST_EARLY)
        self._leaving = False
        self._changed = threading.Condition()
        self._so_far: dict[int, tuple[int, int]] = {}
        self._numbers = itertools.count()
        self._events: deque[tuple[int, int, Mapping[str, Any]]] = deque(maxlen=MOST_EVENTS)
        self._fetched: list[tuple[int, int, Mapping[str, Any]]] = []
        self._warned: list[tuple[type[Warning], str]] = []

    def hello(self) -> Delivered:
        """Make the work, if nothing differs from the driver. The error says what does."""
        try:
            self._settle_in()
            make, look, arguments = pickle.loads(self._job)
            if different := differing(self._about, look(*arguments)):
                raise ConfigError(
                    "the workers do not have what the driver has: " + "; ".join(different) + ". Give every machine "
                    "the same code and packages, for example with `ray job submit --working-dir . -- COMMAND`"
                )
            self._work = make(*arguments)
        except BaseException as error:  # SystemExit too: a module that ends the process would end this actor in silence
            return Delivered(error=shippable(error))
        return Delivered(warned=self._warnings())

    def _settle_in(self) -> None:
        """Work where the driver does, as far as this machine has these folders."""
        folder, paths = self._place
        if os.path.isdir(folder):
            os.chdir(folder)
        sys.path += [path for path in paths if path not in sys.path and os.path.exists(path)]
        warnings.simplefilter("always", EcAgentWarning)
        shown = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, EcAgentWarning):
                self._warned.append((category, str(message)))
            else:
                shown(message, category, *rest, **named)

        warnings.showwarning = keep

    def run(self, ticket: int, subject: bytes, piece: bytes) -> Delivered:
        """Run one piece.

        Args:
            ticket: its number in messages; a piece that runs again has another.
            subject: what it is about, pickled.
            piece: which piece, pickled.
        """
        try:
            delivered = Delivered(run_to_its_end(_ran(self, ticket, subject, piece)))
        except BaseException as error:
            delivered = Delivered(error=shippable(error))
        with self._changed:
            self._running.pop(ticket, None)
            self._pieces.pop(ticket, None)
            self._so_far.pop(ticket, None)
            # Also those that are on their way: this may arrive before them.
            known = [*self._fetched, *self._events]
            delivered.events = [(number, event) for of, number, event in known if of == ticket]
            left = [each for each in self._events if each[0] != ticket]
            self._events.clear()
            self._events.extend(left)
        delivered.warned = self._warnings()
        return delivered

    def _hear(self, ticket: int, event: Mapping[str, Any]) -> None:
        """Note a progress event. The sums of calls and tokens are noted for everybody."""
        with self._changed:
            if "tokens" in event and "calls" in event:
                self._so_far[ticket] = event["calls"], event["tokens"]
            if self._listened:
                self._events.append((ticket, next(self._numbers), dict(event)))
            if self._so_far or self._events:
                self._changed.notify_all()

    def news(self, pause: float) -> News:
        """Wait until something happens, then ``pause`` seconds for more of it, and return all.

        Who asks again has taken in what was returned before.
        """
        with self._changed:
            self._fetched = []
            self._changed.wait_for(lambda: bool(self._so_far or self._events), _IDLE)
        time.sleep(pause)
        with self._changed:
            news = News(dict(self._so_far), list(self._events))
            self._so_far.clear()
            self._events.clear()
            self._fetched = news.events
        return news

    def stop(self, ticket: int) -> None:
        """Call the method ``stop`` of a piece that runs; of one that has not begun, as soon as it begins."""
        with self._changed:
            piece = self._pieces.get(ticket)
            if piece is None:
                self._early.append(("stop", ticket))
        if piece is not None:
            piece.stop()

    def cancel(self, ticket: int) -> None:
        """Cancel a piece that runs, or does not run yet."""
        with self._changed:
            loop, task = self._running.get(ticket, (None, None))
            if loop is None:
                self._early.append(("cancel", ticket))
        if loop is not None and task is not None:
            loop.call_soon_threadsafe(task.cancel)

    def begun(self, ticket: int, piece: Any, place: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]) -> None:
        """Note that a piece runs now.

        Raises:
            CancelledError: it was cancelled before, or all that runs was.
        """
        with self._changed:
            self._running[ticket], self._pieces[ticket] = place, piece
            early = {what for what, of in self._early if of == ticket}
            leaving = self._leaving
        if leaving or "cancel" in early:
            raise asyncio.CancelledError
        if "stop" in early:
            piece.stop()

    def leave(self, patience: float) -> None:
        """Cancel what runs, and wait until it has ended, so that environments are left; at most so many seconds.

        Nothing begins any more.
        """
        until = time.monotonic() + patience
        with self._changed:
            self._leaving, running = True, list(self._running.values())
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        while self._running and time.monotonic() < until:
            time.sleep(0.02)

    def _warnings(self) -> list[tuple[type[Warning], str]]:
        found, self._warned = self._warned, []
        return found


# No method of the worker: of a class with a coroutine function Ray runs all methods one after the other.
async def _ran(worker: Worker, ticket: int, subject: bytes, piece: bytes) -> Any:
    task, unpacked = asyncio.current_task(), pickle.loads(piece)
    assert task is not None
    assert worker._work is not None
    worker.begun(ticket, unpacked, (asyncio.get_running_loop(), task))
    ready = worker._ready
    if subject not in ready:
        ready[subject] = worker._work.prepared(pickle.loads(subject))
    ready.move_to_end(subject)
    prepared = ready[subject]
    while len(ready) > worker._most + _SPARE:
        ready.popitem(last=False)
    return await worker._work.run(prepared, unpacked, partial(worker._hear, ticket))


def differing(about: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What is not the same on this worker, in words: at most five things."""
    names = [name for name in {**about, **here} if about.get(name) != here.get(name)]
    said = [f"{name} is {_shown(here.get(name))} there, and {_shown(about.get(name))} here" for name in names[:5]]
    return said + ([f"and {len(names) - 5} more"] if len(names) > 5 else [])


def _shown(value: Any) -> str:
    return "not there" if value is None else str(value)


def shippable(error: BaseException) -> BaseException:
    """The error with its traceback as a note, or one in its place if it cannot be pickled."""
    told = "".join(traceback.format_exception(error))
    try:
        error.__cause__ = error.__context__ = None
        if comes_back(error):
            error.add_note(f"on a worker:\n{told}")
            return error
    except Exception:  # an error of somebody else's class, which cannot be changed
        pass
    if isinstance(error, EcAgentError):
        return EvaluationError(str(error))
    return EvaluationError(
        f"{type(error).__name__}: {error}; it was raised on a worker, by code that is not the agent's. The traceback:\n"
        f"{told}"
    )
