"""What is left of a run, in memory that does not grow with the number of rollouts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.tasks import Task
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.stored import Key


class Remaining:
    """The rollouts of one task that are not stored: the samples by index, and the one at temperature 0.

    It holds the gaps between those that are stored, and makes a key when its rollout is due.

    Args:
        task: the id of the task.
        settings: how the evaluation is run.
        there: the keys of the task's stored rollouts.
    """

    def __init__(self, task: str, settings: RunSettings, there: Iterable[Key]) -> None:
        self._task, self._gaps, self.samples = task, deque[range](), 0
        self.greedy = settings.greedy
        """Whether the rollout at temperature 0 is left."""
        stored = []
        for key in there:
            if key.kind == "greedy":
                self.greedy = self.greedy and key.number != 0
            elif key.number < settings.n:
                stored.append(key.number)
        begin = 0
        for number in (*sorted(stored), settings.n):
            if number > begin:
                self._gaps.append(range(begin, number))
                self.samples += number - begin
            begin = number + 1

    def next_sample(self) -> Key:
        """Take the next of the samples; there must be one."""
        gap = self._gaps.popleft()
        if len(gap) > 1:
            self._gaps.appendleft(gap[1:])
        self.samples -= 1
        return Key(self._task, "sample", gap[0])

    def next_greedy(self) -> Key:
        """Take the rollout at temperature 0; it must be left."""
        self.greedy = False
        return Key(self._task, "greedy", 0)

    def spare(self) -> int:
        """Take all samples that are left, as ones that are not needed. Return how many."""
        spared, self.samples = self.samples, 0
        self._gaps.clear()
        return spared


def count_planned(tasks: Iterable[Task], settings: RunSettings) -> int:
    """How many rollouts the tasks have, in all."""
    return sum(settings.per_task for _ in tasks)


def count_stored(store: TraceStoreProtocol, tasks: Iterable[Task], settings: RunSettings) -> int:
    """How many of them are stored.

    Raises:
        TraceError: the store cannot be read.
    """
    there = store.counts(settings.n, greedy=settings.greedy)
    return sum(there.get(task.id, 0) for task in tasks)
