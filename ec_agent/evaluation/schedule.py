"""What an evaluation runs next: one task after the other, and with a stopping plan wave by wave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ec_agent.evaluation.remaining import Remaining
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.stored_results import candidate_of
from ec_agent.evaluation.tasks import Task
from ec_agent.stopping import Stop
from ec_agent.stopping.asking import ask
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.stored import Key


@dataclass(slots=True)
class _Begun:
    """One task: what is left of it, how many rollouts of the wave are still to start, and how many run."""

    task: Task
    left: Remaining
    wave: int = 0
    running: int = 0
    prepared: Any = None


class Schedule:
    """Hands out the rollouts that are not stored yet, to several workers on one event loop.

    Tasks come one after the other, because providers cache prompts that come again. With a stopping plan a task's next
    wave is due when the one before has ended, and none once the plan says that enough is known; meanwhile rollouts of
    the next tasks are due. What the plan is asked about is read from the store, so that a run that was stopped goes on
    in the wave in which it was.

    Args:
        tasks: the tasks.
        settings: how the evaluation is run.
        store: where rollouts are stored.
        prepared: gives what the rollouts of a task need, such as the agent made for it; called once a task.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        settings: RunSettings,
        store: TraceStoreProtocol,
        prepared: Callable[[Task], Any],
    ) -> None:
        self._settings, self._store, self._prepared = settings, store, prepared
        self._ahead: Iterator[Task] = iter(tasks)
        self._begun: dict[str, _Begun] = {}
        self._changed = asyncio.Event()
        self.spared = 0
        """Rollouts that are not needed, because a plan said so."""

    async def next(self, over: Callable[[], bool]) -> tuple[Task, Any, Key] | None:
        """The next rollout; waits where it depends on rollouts under way. ``None`` where all is done.

        Args:
            over: whether the whole run is over; asked again after each wait. Then nothing is handed out, for what is
                handed out and not run would keep the other workers waiting for its end.

        Raises:
            TraceError: the store cannot be read.
            ConfigError: the plan failed.
        """
        while not over():
            if (found := self._found()) is not None:
                return found
            if not any(rest.running for rest in self._begun.values()):
                return None
            self._changed.clear()
            await self._changed.wait()
        return None

    def over(self, key: Key) -> None:
        """A rollout came to its end, and is stored if it could be."""
        if key.kind == "sample":
            self._begun[key.task].running -= 1
        self._changed.set()

    def settle(self) -> None:
        """See, where a run ends early, which of its tasks have enough rollouts already.

        Raises:
            TraceError: the store cannot be read.
            ConfigError: the plan failed.
        """
        if self._settings.stop is None:
            return
        for rest in chain(self._begun.values(), self._not_begun()):
            if rest.left.samples and not rest.wave:
                self._begin_wave(rest)

    def _not_begun(self) -> Iterator[_Begun]:
        """Take the next tasks, with what is left of each by now; so little is in memory of those that come later."""
        for task in self._ahead:
            yield _Begun(task, Remaining(task.id, self._settings, self._store.keys(task.id)))

    def _found(self) -> tuple[Task, Any, Key] | None:
        done = []
        try:
            for rest in chain(self._begun.values(), self._not_begun()):
                if (key := self._next_of(rest)) is not None:
                    rest.prepared = self._prepared(rest.task) if rest.prepared is None else rest.prepared
                    self._begun[rest.task.id] = rest
                    return rest.task, rest.prepared, key
                if not (rest.left.samples or rest.left.greedy or rest.running):
                    done.append(rest.task.id)
            return None
        finally:
            for name in done:
                self._begun.pop(name, None)

    def _next_of(self, rest: _Begun) -> Key | None:
        if rest.left.samples and not rest.wave and not rest.running:
            self._begin_wave(rest)
        if rest.left.samples and rest.wave:
            rest.wave -= 1
            rest.running += 1
            return rest.left.next_sample()
        return rest.left.next_greedy() if rest.left.greedy else None

    def _begin_wave(self, rest: _Begun) -> None:
        """See how many rollouts start next: all, or as many as the plan says."""
        if self._settings.stop is None:
            rest.wave = rest.left.samples
            return
        ended = [candidate_of(rollout) for rollout in self._store.rollouts(rest.task.id)]
        said = ask(self._settings.stop, ended, 0, rest.left.samples)
        if isinstance(said, Stop):
            self.spared += rest.left.spare()
        else:
            rest.wave = said.count
