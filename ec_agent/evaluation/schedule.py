"""What an evaluation runs next: one task after the other, and with a stopping plan wave by wave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.stored import candidate_of
from ec_agent.evaluation.tasks import Task
from ec_agent.stopping import Stop
from ec_agent.stopping.asking import ask
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.stored import Key


@dataclass(slots=True)
class _Course:
    """One task: what is left of it, how many rollouts of the wave are still to start, and how many run."""

    task: Task
    samples: list[Key]
    others: list[Key]
    wave: int = 0
    running: int = 0
    agent: Any = field(default=None)


class Due:
    """Hands out the rollouts that are not stored yet, to several workers on one event loop.

    Tasks come one after the other, because providers cache prompts that come again. With a stopping plan a task's next
    wave is due when the one before has ended, and none once the plan says that enough is known; meanwhile rollouts of
    the next tasks are due. What the plan is asked about is read from the store, so that a run that was stopped goes on
    in the wave in which it was.

    Args:
        tasks: the tasks.
        settings: how the evaluation is run.
        store: where rollouts are stored.
        agent_for: gives the agent for a task; called once a task.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        settings: RunSettings,
        store: TraceStoreProtocol,
        agent_for: Callable[[Task], Any],
    ) -> None:
        there = store.keys()
        self._stop, self._store, self._agent_for = settings.stop, store, agent_for
        self._courses: dict[str, _Course] = {}
        self._changed = asyncio.Event()
        self.spared = 0
        """Rollouts that are not needed, because a plan said so."""
        for task in tasks:
            left = [key for key in settings.keys(task.id) if key not in there]
            samples = [key for key in left if key.kind == "sample"]
            if left:
                self._courses[task.id] = _Course(task, samples, [key for key in left if key.kind != "sample"])

    async def next(self) -> tuple[Task, Any, Key] | None:
        """The next rollout; waits where it depends on rollouts under way. ``None`` where all is done.

        Raises:
            TraceError: the store cannot be read.
            ConfigError: the plan failed.
        """
        while True:
            if (found := self._found()) is not None:
                return found
            if not any(course.running for course in self._courses.values()):
                return None
            self._changed.clear()
            await self._changed.wait()

    def over(self, key: Key) -> None:
        """A rollout came to its end, and is stored if it could be."""
        if key.kind == "sample":
            self._courses[key.task].running -= 1
        self._changed.set()

    def settle(self) -> None:
        """See, where a run ends early, which of its tasks have enough rollouts already.

        Raises:
            TraceError: the store cannot be read.
            ConfigError: the plan failed.
        """
        for course in self._courses.values() if self._stop is not None else ():
            if course.samples and not course.wave:
                self._begin_wave(course)

    def _found(self) -> tuple[Task, Any, Key] | None:
        done = []
        try:
            for name, course in self._courses.items():
                if (key := self._next_of(course)) is not None:
                    course.agent = self._agent_for(course.task) if course.agent is None else course.agent
                    return course.task, course.agent, key
                if not (course.samples or course.others or course.running):
                    done.append(name)
            return None
        finally:
            for name in done:
                del self._courses[name]

    def _next_of(self, course: _Course) -> Key | None:
        if course.samples and not course.wave and not course.running:
            self._begin_wave(course)
        if course.samples and course.wave:
            course.wave -= 1
            course.running += 1
            return course.samples.pop(0)
        return course.others.pop(0) if course.others else None

    def _begin_wave(self, course: _Course) -> None:
        """See how many rollouts start next: all, or as many as the plan says."""
        if self._stop is None:
            course.wave = len(course.samples)
            return
        ended = [candidate_of(rollout) for rollout in self._store.rollouts(course.task.id)]
        said = ask(self._stop, ended, 0, len(course.samples))
        if isinstance(said, Stop):
            self.spared += len(course.samples)
            course.samples.clear()
        else:
            course.wave = said.count
