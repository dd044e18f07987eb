"""``cancel=True``: start all rollouts at once, and stop those that still run once enough is known.

A ``Watch`` asks the plan whenever a rollout ends. When the plan says that enough is known, the ``Brake`` of each other
rollout stops it. The plan's verdict is saved in the record of the rollout that ended last, and in those of cancelled
rollouts. So a run that is resumed after a kill does not start cancelled rollouts again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

from ec_agent.capture.tool_log import ToolLog
from ec_agent.insides.executors import Executors, RolloutLeft, wake
from ec_agent.rollouts.record import End, Record, Stopped, was_cancelled
from ec_agent.selectors import Candidate
from ec_agent.stopping import More, Stop, StoppingPlan
from ec_agent.stopping.asking import ask, can_tell
from ec_agent.support.plans import Step

Clock = tuple[asyncio.AbstractEventLoop, asyncio.Timeout]


class Brake:
    """Stops one rollout at its next model or tool call; in an async run also while it awaits, but never in a tool.

    Attributes:
        pulled: whether the rollout has to stop.
    """

    def __init__(self) -> None:
        self.pulled = False
        self._tools: ToolLog | None = None
        self._clocks: set[Clock] = set()
        self._also: list[Callable[[], None]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a brake for another process, where nothing runs yet that it could stop."""
        return _elsewhere, (self.pulled,)

    def let_end(self, tools: ToolLog) -> None:
        """Let the rollout's running tools, as this log knows them, end before the rollout is stopped."""
        self._tools, tools.on_idle = tools, self._stop_waiting

    def check(self) -> None:
        """Raise if the brake is pulled.

        Raises:
            RolloutLeft: it is pulled.
        """
        if self.pulled:
            raise RolloutLeft

    def pull(self) -> None:
        """Stop the rollout; any thread may call this."""
        self.pulled = True
        for stop in tuple(self._also):
            stop()
        self._stop_waiting()

    def also(self, stop: Callable[[], None]) -> None:
        """Call this function, too, when the brake is pulled; at once if it is pulled already."""
        self._also.append(stop)
        if self.pulled:
            stop()

    def _stop_waiting(self) -> None:
        if self.pulled and (self._tools is None or self._tools.idle):
            wake()
            for loop, clock in tuple(self._clocks):
                with suppress(RuntimeError):  # the event loop is closed, so nothing waits in it
                    loop.call_soon_threadsafe(_end, clock)

    def stopping(self, step: Step) -> Step:
        """Return a step that raises if the brake is pulled: before it begins, and in an async run while it waits.

        Raises:
            RolloutLeft: the brake is pulled; raised by the returned step.
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
        """Return a wait that ends early if the run ends or the brake is pulled."""
        return self.unless_pulled(executors.pause(seconds, lambda: self.pulled))

    def unless_pulled(self, pause: Step) -> Step:
        """Return the pause; in an async run it ends early if the brake is pulled."""

        async def wait() -> None:
            with suppress(RolloutLeft):
                await self.stopping(pause).wait()

        return Step(pause.sync, wait)


def _elsewhere(pulled: bool) -> Brake:
    brake = Brake()
    brake.pulled = pulled
    return brake


def _end(clock: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # the timeout's block has ended already
        clock.reschedule(asyncio.get_running_loop().time())


class Watch:
    """Watches the rollouts of one round while they run, and asks the plan whenever one of them ends. Thread-safe.

    Args:
        plan: the stopping plan.
        n: number of rollouts in the round.
        quorum: the fewest scored rollouts to choose from; ``None`` without a quorum.
        read: turns records into the candidates that the plan gets.

    Attributes:
        failure: the plan's error. After an error the plan is not asked again, and all rollouts run to their ends.
        runs_anew: whether a rollout has to run again that had ended before enough was known, because its record was
            lost when the process was killed.
    """

    def __init__(
        self,
        plan: StoppingPlan,
        n: int,
        quorum: int | None,
        read: Callable[[Iterable[Record]], Sequence[Candidate]],
    ) -> None:
        self.failure: Exception | None = None
        self.runs_anew = False
        self._plan, self._n, self._quorum, self._read = plan, n, quorum, read
        self._stopped: Stopped | None = None
        self._over: dict[int, Record] = {}
        self._under_way: dict[int, Brake] = {}
        self._lock = threading.Lock()

    def recall(self, records: Iterable[Record]) -> None:
        """Take in the records of rollouts that were over before this process started."""
        with self._lock:
            for record in records:
                self._stopped = self._stopped or record.get("stopped")
                if not was_cancelled(record):
                    self._over.setdefault(record["index"], record)

    def forget(self, indices: Iterable[int]) -> None:
        """Drop rollouts that were over and now have to run again."""
        with self._lock:
            for index in indices:
                self._over.pop(index, None)

    def begin(self, index: int, brake: Brake) -> Stopped | None:
        """Note that a rollout is about to start. If it must not start, return the plan's verdict instead."""
        with self._lock:
            if self._stopped is not None:
                if index not in self._stopped["ended"]:
                    return self._stopped
                self.runs_anew = True
            self._under_way[index] = brake
            return None

    def end(self, record: Record) -> tuple[Record, int | None]:
        """Take in the record of a rollout that is over or cancelled, and ask the plan.

        Returns:
            The record to keep; and, if the plan has just said that enough is known, the number of rollouts started.
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
        if self.failure is not None or not can_tell(candidates, running + left):
            return None
        try:
            answer = decided(self._plan, candidates, running, left, self._quorum)
        except Exception as error:
            self.failure = error
            return None
        return answer if isinstance(answer, Stop) else None

    def stop(self, records: Sequence[Record]) -> Stop | None:
        """Return the plan's reason for ending the round early, read from the records; ``None`` if all ran to their end.

        Raises:
            Exception: the plan's own error, if it has failed.
        """
        if self.failure is not None:
            raise self.failure
        stopped = next((record["stopped"] for record in records if "stopped" in record), None)
        if stopped is None:
            return None
        candidates = self._read(records)
        among: Sequence[int] | None = stopped["among"]
        if self.runs_anew:  # the rollout that ran again may have another result, so ask which ones may win
            answer = ask(self._plan, candidates, 0, sum(map(was_cancelled, records)))
            among = answer.among if isinstance(answer, Stop) else None
        ended = {candidate.index for candidate in candidates if candidate.error is None}
        left = tuple(index for index in among or () if index in ended)
        return Stop(stopped["reason"], left or None)


def cancelled(record: Record, stopped: Stopped | None) -> Record:
    """Turn a record into that of a cancelled rollout: its calls and usage stay, its result is dropped."""
    end: End = {"kind": "cancelled"}
    for name in ("thread", "memory", "unbegun"):  # its parked checkpoints still have to be deleted
        if name in record["end"]:
            end[name] = record["end"][name]
    lost: Any = {"error": None, "writes": [], "goto": [], "final_action": None, "fingerprint": None, "store": []}
    marked: Any = {} if stopped is None else {"stopped": stopped}
    return cast("Record", {**record, **lost, "token": None, "end": end, **marked})


def unbegun(index: int, stopped: Stopped) -> Record:
    """Make the record of a rollout that was cancelled before it started."""
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
