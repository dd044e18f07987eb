"""The driver's side of workers on Ray: who has room, what was lost with a worker that died, and its replacement."""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from ec_agent.engines.base import Job, Lost
from ec_agent.engines.ray_worker import Delivered, News
from ec_agent.errors import ConfigError, EvaluationError, ProgressWarning, WorkerLostError

POLLS = 100
"""How many times a second the driver asks for news at most, all workers together."""

_SOON, _LIVE = 1.0, 0.25  # seconds between two questions to one worker: for sums, and for live events
_STARTS = 3  # how often a worker in a row may die while it starts
_PATIENCE = 10.0  # seconds that workers have to leave environments when a job is closed


@dataclass(eq=False, slots=True)
class _Sent:
    """A piece under way on a worker.

    Attributes:
        piece: which.
        calls: model calls that had ended when the driver last heard.
        tokens: what they had generated.
        heard: the number of its last event that was told.
    """

    piece: Hashable
    calls: int = 0
    tokens: int = 0
    heard: int = -1


@dataclass(eq=False, slots=True)
class _Hand:
    """One worker, and after its death its replacement.

    Attributes:
        actor: the Ray actor; ``None`` while there is none.
        ready: whether it takes pieces.
        reserved: whether one piece wants it for itself.
        running: by ticket: what runs on it.
    """

    actor: Any = None
    ready: bool = False
    reserved: bool = False
    running: dict[int, _Sent] = field(default_factory=dict)


class RayCalls(Protocol):
    """What the pool needs of Ray; ``ec_agent.engines.ray`` has it."""

    def new_actor(self) -> Any:
        """Start an actor and return its handle, perhaps before it is there."""
        ...

    def end(self, actor: Any) -> None:
        """End an actor, whatever it does."""
        ...

    def is_lost(self, error: BaseException) -> bool:
        """Whether an error means that the actor, or what it returned, is gone. Else its code failed."""
        ...

    def pickled(self, value: Any) -> bytes:
        """Pickle a value, also one whose class the user's script defines. Raise ``ConfigError`` if that fails."""
        ...

    def resources(self) -> str:
        """What the cluster has, in words."""
        ...


class Pool:
    """The workers of one job.

    A piece that died with its workers, and has one try left, runs alone on a worker. So nothing else is lost with it,
    and no piece is blamed for what another did.

    Args:
        job: what they run; see ``ec_agent.engines.base``.
        ray: Ray.
        workers: how many there are.
        per_worker: how many pieces run at once on each.
        tries: with how many workers a piece may die.
        wait: seconds that workers may take to start.
    """

    def __init__(self, job: Job, ray: RayCalls, *, workers: int, per_worker: int, tries: int, wait: float) -> None:
        self._job, self._ray = job, ray
        self._per_worker, self._tries, self._wait = per_worker, tries, wait
        self._hands = [_Hand() for _ in range(workers)]
        self._pause = max(_SOON if job.on_event is None else _LIVE, workers / POLLS)
        self._tickets = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._hear = job.on_event
        self._begun = 0  # how many workers have started so far
        self._loop = asyncio.get_running_loop()
        self.slots = workers * per_worker
        self.lost = Lost()

    # Open and close

    async def open(self) -> None:
        """Start all workers.

        Raises:
            ConfigError: not all of them could be had, or something differs on one of them.
        """
        for hand in self._hands:
            self._in_background(self._start(hand))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._until(lambda: all(hand.ready for hand in self._hands)), self._wait)
        there = sum(hand.ready for hand in self._hands)
        if there < len(self._hands):
            raise ConfigError(
                f"{there} of {len(self._hands)} workers had started after {self._wait:g} s; the cluster has "
                f"{self._ray.resources()}. Ask for fewer workers, for less per worker (num_cpus=, resources=), or for "
                "more time (wait=)"
            )

    async def close(self) -> None:
        """Cancel what still runs on the workers, so that environments are left, and end them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Also those on which nothing is waited for any more: what was cancelled here still runs there.
        left = [asyncio.ensure_future(_asked(hand.actor, "leave", _PATIENCE)) for hand in self._hands if hand.ready]
        if left:
            await asyncio.wait(left, timeout=_PATIENCE + 2)
        for hand in self._hands:
            if hand.actor is not None:
                self._ray.end(hand.actor)

    # Run

    @property
    def broken(self) -> bool:
        """Whether nothing can be run any more."""
        return self._failure is not None

    def prepared(self, subject: Any) -> bytes:
        """Pickle a subject.

        Raises:
            ConfigError: it cannot be pickled.
        """
        return self._ray.pickled(subject)

    async def run(self, prepared: bytes, piece: Hashable) -> Any:
        """Run one piece, again if its worker dies; see ``ec_agent.engines.base.Runs``."""
        for tried in range(1, self._tries + 1):
            hand, ticket = await self._taken(piece, alone=tried == self._tries)
            actor = hand.actor
            try:
                delivered: Delivered = await actor.run.remote(ticket, prepared, self._ray.pickled(piece))
            except Exception as error:
                if not self._ray.is_lost(error):
                    raise
                self._gone(hand, actor, hand.running[ticket])
            except asyncio.CancelledError:
                self._in_background(_asked(actor, "cancel", ticket))
                raise
            else:
                return self._told(delivered, hand.running[ticket])
            finally:
                self._give_back(hand, ticket, alone=tried == self._tries)
        raise WorkerLostError(
            f"its worker died each of the {self._tries} times that it ran, the last time with nothing else on that "
            "worker. Look for what ends the process or takes all memory; Ray's logs of the worker say how it died"
        )

    def stop(self, piece: Hashable) -> None:
        """Call the method ``stop`` of a piece that runs, where it runs; any thread may call this."""
        self._loop.call_soon_threadsafe(self._stop, piece)

    def _stop(self, piece: Hashable) -> None:
        for hand in self._hands:
            for ticket, sent in hand.running.items():
                if sent.piece is piece:
                    self._in_background(_asked(hand.actor, "stop", ticket))

    def _told(self, delivered: Delivered, sent: _Sent) -> Any:
        for number, event in delivered.events:
            self._tell(sent, number, event)
        self._warn(delivered)
        if delivered.error is not None:
            raise delivered.error
        return delivered.result

    async def _taken(self, piece: Hashable, *, alone: bool) -> tuple[_Hand, int]:
        """A worker that has room for the piece, and the ticket. If it is to be alone, nothing else runs there."""
        while True:
            self._check()
            free = [h for h in self._hands if h.ready and not h.reserved and len(h.running) < self._per_worker]
            hand = min(free, key=lambda each: len(each.running), default=None)
            if hand is None:
                await self._change()
                continue
            if alone and not await self._emptied(hand):
                continue
            ticket = next(self._tickets)
            hand.running[ticket] = _Sent(piece)
            return hand, ticket

    async def _emptied(self, hand: _Hand) -> bool:
        """Reserve a worker, and wait until nothing runs on it. ``False`` if it died meanwhile."""
        hand.reserved = True
        try:
            while hand.ready and hand.running:
                await self._change()
                self._check()
        except BaseException:
            hand.reserved = False
            raise
        hand.reserved = hand.ready
        return hand.ready

    def _give_back(self, hand: _Hand, ticket: int, *, alone: bool) -> None:
        hand.running.pop(ticket, None)
        if alone:
            hand.reserved = False
        self._changed.set()

    # What happens to workers

    def _gone(self, hand: _Hand, actor: Any, sent: _Sent | None = None) -> None:
        """Note that a worker is gone, and what was lost with it. Whoever notes it first has the worker replaced."""
        first = hand.actor is actor and hand.ready
        lost = Lost(workers=int(first)) if sent is None else Lost(int(first), 1, sent.calls, sent.tokens)
        self.lost += lost
        if sent is not None and self._job.on_lost is not None:
            self._job.on_lost(sent.piece, lost)
        if first:
            hand.ready = False
            self._ray.end(actor)  # one that cannot be reached may still be there, and run what now runs again
            self._in_background(self._start(hand))
            self._in_background(self._see_that_one_is_left())
            self._changed.set()

    async def _see_that_one_is_left(self) -> None:
        """See, after a death, that not all workers are gone for as long as workers may take to start."""
        if any(hand.ready for hand in self._hands):
            return  # if that one dies, too, its death is looked at then
        begun = self._begun
        await asyncio.sleep(self._wait)
        if self._begun == begun:
            self._fail(
                EvaluationError(
                    f"all workers are lost, and none could be started anew within {self._wait:g} s; see that the "
                    "cluster has machines, and the same call goes on from here"
                )
            )

    async def _start(self, hand: _Hand) -> None:
        """Start a worker, or its replacement. What keeps it from starting fails the job."""
        for left in reversed(range(_STARTS)):
            hand.actor = self._ray.new_actor()
            try:
                delivered: Delivered = await hand.actor.hello.remote()
            except Exception as error:
                if left and self._ray.is_lost(error):
                    continue
                delivered = Delivered(
                    error=ConfigError(
                        f"a worker cannot start ({type(error).__name__}: {error}). See that ec_agent, and what the "
                        "agent imports, are installed on every machine of the cluster, and that workers have memory "
                        "enough"
                    )
                )
            break
        self._warn(delivered)
        if delivered.error is not None:
            self._fail(delivered.error)
            return
        hand.ready = True
        self._begun += 1
        self._changed.set()
        self._in_background(self._listen(hand, hand.actor))

    async def _listen(self, hand: _Hand, actor: Any) -> None:
        """Ask a worker again and again what happens on it, until it is gone."""
        while hand.actor is actor:
            try:
                news: News = await actor.news.remote(self._pause)
            except Exception as error:
                if self._ray.is_lost(error):
                    self._gone(hand, actor)
                else:
                    self._fail(error)
                return
            for ticket, (calls, tokens) in news.so_far.items():
                if (sent := hand.running.get(ticket)) is not None:
                    sent.calls, sent.tokens = calls, tokens
            for ticket, number, event in news.events:
                if (sent := hand.running.get(ticket)) is not None:
                    self._tell(sent, number, event)

    # What is passed on

    def _tell(self, sent: _Sent, number: int, event: Mapping[str, Any]) -> None:
        if self._hear is None or number <= sent.heard:
            return
        sent.heard = number
        try:
            self._hear(sent.piece, event)
        except Exception as error:
            self._hear = None
            warnings.warn(
                f"on_event failed ({error!r}) and is not called again; the run goes on. Correct the code that failed",
                ProgressWarning,
                stacklevel=2,
            )

    def _warn(self, delivered: Delivered) -> None:
        """Give the warnings of a worker here."""
        for kind, text in delivered.warned:
            try:
                warnings.warn(text, kind, stacklevel=2)
            except Warning as error:  # whoever turns warnings into errors wants the run to end
                self._fail(error)

    # Waiting

    def _in_background(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._changed.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _until(self, over: Callable[[], bool]) -> None:
        while not over():
            self._check()
            await self._change()
        self._check()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


async def _asked(actor: Any, what: str, *given: Any) -> None:
    """Have a worker end something that runs on it."""
    with suppress(Exception):  # on a worker that is gone, nothing runs
        await getattr(actor, what).remote(*given)
