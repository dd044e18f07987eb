"""``cancel=True``: all rollouts start at once, and those still under way are stopped once enough is known.

A ``Watch`` asks the plan whenever a rollout ends. From then on the others go no further: each has a ``Brake``. What the
plan said is in the record of the rollout after which it said so, and in those of the cancelled, so that a run that was
killed in the middle starts none of them again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

from ec_agent.capture.kept import ToolLog
from ec_agent.insides.executors import Executors, RolloutLeft, wake
from ec_agent.rollouts.record import End, Record, Stopped, was_cancelled
from ec_agent.selectors import Candidate
from ec_agent.stopping import More, Stop, StoppingPlan
from ec_agent.stopping.asking import ask
from ec_agent.support.plans import Step

Clock = tuple[asyncio.AbstractEventLoop, asyncio.Timeout]


class Brake:
    """Stops one rollout: at its next LLM or tool call, and in an async run where it awaits; never within a tool.

    Attributes:
        pulled: whether it is to stop.
    """

    def __init__(self) -> None:
        self.pulled = False
        self._tools: ToolLog | None = None
        self._clocks: set[Clock] = set()

    def heed(self, tools: ToolLog) -> None:
        """Let these tools come to their ends."""
        self._tools, tools.on_idle = tools, self._stop_waiting

    def check(self) -> None:
        """Go no further where it is pulled.

        Raises:
            RolloutLeft: it is.
        """
        if self.pulled:
            raise RolloutLeft

    def pull(self) -> None:
        """Stop the rollout, from whichever thread."""
        self.pulled = True
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self.pulled and (self._tools is None or self._tools.idle):
            wake()
            for loop, clock in tuple(self._clocks):
                with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                    loop.call_soon_threadsafe(_end, clock)

    def stopping(self, step: Step) -> Step:
        """The step, begun only while the brake is not pulled; its ``wait()`` ends when that happens.

        Raises:
            RolloutLeft: it is pulled.
        """

        def sync() -> Any:
            self.check()
            return step.sync()

        async def wait() -> Any:
            self.check()
            return await self._wait(step.wait)

        return Step(sync, wait)

    async def _wait(self, wait: Callable[[], Awaitable[Any]]) -> Any:
        clock = asyncio.timeout(None)
        place = asyncio.get_running_loop(), clock
        try:
            async with clock:
                self._clocks.add(place)
                return await wait()
        except TimeoutError:
            if clock.expired():
                raise RolloutLeft from None
            raise
        finally:
            self._clocks.discard(place)

    def pause(self, executors: Executors, seconds: float) -> Step:
        """A pause, over at once where the run is left or the brake is pulled."""
        return self.unless_pulled(executors.pause(seconds, lambda: self.pulled))

    def unless_pulled(self, pause: Step) -> Step:
        """The pause, in an async run over at once where the brake is pulled."""

        async def wait() -> None:
            with suppress(RolloutLeft):
                await self.stopping(pause).wait()

        return Step(pause.sync, wait)


def _end(clock: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it is over by now
        clock.reschedule(asyncio.get_running_loop().time())


class Watch:
    """The rollouts of one round while they run; the plan is asked whenever one of them ends. Thread-safe.

    Args:
        plan: whom to ask.
        n: how many rollouts there are.
        quorum: fewest rollouts to select from.
        read: the records as the plan sees them.

    Attributes:
        failure: what the plan failed with; it is not asked again, and all rollouts come to their ends.
        again: whether a rollout runs again that had ended before the plan said that enough is known: its record was
            lost with the process.
    """

    def __init__(
        self,
        plan: StoppingPlan,
        n: int,
        quorum: int | None,
        read: Callable[[Iterable[Record]], Sequence[Candidate]],
    ) -> None:
        self.failure: Exception | None = None
        self.again = False
        self._plan, self._n, self._quorum, self._read = plan, n, quorum, read
        self._stopped: Stopped | None = None
        self._over: dict[int, Record] = {}
        self._under_way: dict[int, Brake] = {}
        self._lock = threading.Lock()

    def recall(self, records: Iterable[Record]) -> None:
        """Know of rollouts that were over before the process began."""
        with self._lock:
            for record in records:
                self._stopped = self._stopped or record.get("stopped")
                if not was_cancelled(record):
                    self._over.setdefault(record["index"], record)

    def forget(self, indices: Iterable[int]) -> None:
        """Rollouts that were over are to run again."""
        with self._lock:
            for index in indices:
                self._over.pop(index, None)

    def begin(self, index: int, brake: Brake) -> Stopped | None:
        """A rollout is about to start; why it must not, where it must not."""
        with self._lock:
            if self._stopped is not None:
                if index not in self._stopped["ended"]:
                    return self._stopped
                self.again = True
            self._under_way[index] = brake
            return None

    def end(self, record: Record) -> tuple[Record, int | None]:
        """A rollout is over, or cancelled.

        Returns:
            Its record as it is kept, and, where the plan has just said that enough is known, how many were started.
        """
        with self._lock:
            del self._under_way[record["index"]]
            if self._stopped is not None and record["index"] not in self._stopped["ended"]:
                return cancelled(record, self._stopped), None
            self._over[record["index"]] = record
            if self._stopped is not None or (stop := self._asked()) is None:
                return record, None
            among = None if stop.among is None else list(stop.among)
            self._stopped = {"reason": stop.reason, "among": among, "ended": sorted(self._over)}
            for brake in self._under_way.values():
                brake.pull()
            return {**record, "stopped": self._stopped}, len(self._over) + len(self._under_way)

    def _asked(self) -> Stop | None:
        running = len(self._under_way)
        left = max(self._n - len(self._over) - running, 0)
        candidates = self._read(self._over.values())
        ended = any(candidate.error is None for candidate in candidates)
        if self.failure is not None or not ended or not running + left:
            return None
        try:
            answer = decided(self._plan, candidates, running, left, self._quorum)
        except Exception as error:
            self.failure = error
            return None
        return answer if isinstance(answer, Stop) else None

    def stop(self, records: Sequence[Record]) -> Stop | None:
        """Why the round ended early, as its records say; ``None`` where all came to their ends.

        Raises:
            Exception: what the plan failed with.
        """
        if self.failure is not None:
            raise self.failure
        stopped = next((record["stopped"] for record in records if "stopped" in record), None)
        if stopped is None:
            return None
        candidates = self._read(records)
        among: Sequence[int] | None = stopped["among"]
        if self.again:  # what it had come to may be something else by now
            answer = ask(self._plan, candidates, 0, sum(map(was_cancelled, records)))
            among = answer.among if isinstance(answer, Stop) else None
        ended = {candidate.index for candidate in candidates if candidate.error is None}
        left = tuple(index for index in among or () if index in ended)
        return Stop(stopped["reason"], left or None)


def cancelled(record: Record, stopped: Stopped | None) -> Record:
    """The record as that of a cancelled rollout: what it cost and said stays, what it came to does not count."""
    end: End = {"kind": "cancelled"}
    for name in ("thread", "memory", "unbegun"):  # where it was parked is to be cleared
        if name in record["end"]:
            end[name] = record["end"][name]
    lost: Any = {"error": None, "writes": [], "goto": [], "final_action": None, "fingerprint": None, "store": []}
    marked: Any = {} if stopped is None else {"stopped": stopped}
    return cast("Record", {**record, **lost, "token": None, "end": end, **marked})


def unbegun(index: int, stopped: Stopped) -> Record:
    """The record of a rollout that was cancelled before it began."""
    record: Record = {
        "index": index,
        "seconds": 0.0,
        "error": None,
        "calls": [],
        "usage": {},
        "writes": [],
        "goto": [],
        "final_action": None,
        "facts": {},
        "fingerprint": None,
        "end": {"kind": "cancelled", "unbegun": True},
        "store": [],
        "token": None,
    }
    return cancelled(record, stopped)


def decided(
    plan: StoppingPlan, candidates: Sequence[Candidate], running: int, left: int, quorum: int | None
) -> Stop | More:
    """Return the plan's answer. While ``quorum`` is not reached and rollouts are left, a ``Stop`` becomes ``More``.

    Args:
        plan: the plan to ask.
        candidates: the rollouts that are over, failed ones too.
        running: how many are running.
        left: how many are not started yet.
        quorum: the fewest scored rollouts to select from, as in ``Limits``.

    Raises:
        ConfigError: as ``ask`` says.
    """
    answer = ask(plan, candidates, running, left)
    missing = (quorum or 0) - sum(candidate.eligible for candidate in candidates)
    if isinstance(answer, Stop) and missing > 0:
        return More(max(1, min(missing, left)))
    return answer
