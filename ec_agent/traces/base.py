"""The interface of a trace store. Code outside of the stores' own rooms uses only this interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from ec_agent.traces.recorded_selections import Selected
from ec_agent.traces.stored import Asked, Key, Kind, StoredRollout, StoredSelection, TaskTotals


class TraceStoreProtocol(Protocol):
    """A store of finished rollouts. It holds one evaluation (its *run*), or recorded selections, or both.

    Three things hold for every store. Data that was added survives a kill of the process at any moment. Each call that
    writes is one transaction: a rollout is stored with all its calls and signals, or not at all. Several processes may
    write at once; of two rollouts with the same key, the first is kept.

    An open store must be used by one thread only. Other threads use :meth:`reopened` or :meth:`recording`.

    Signals are stored in single precision. If data cannot be read or written, a method raises a ``TraceError`` that
    says what to do. If an argument is wrong, it raises a ``ConfigError``. ``tests/traces/test_store_contract.py``
    checks every store.
    """

    # Open and close

    @property
    def name(self) -> str:
        """The name of the store in messages. ``open_store`` opens the store by this name."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None, /
    ) -> None: ...

    def reopened(self) -> Self:
        """Open the same store once more, for use in another thread."""
        ...

    def close(self) -> None:
        """Close the store. Closing it twice is no error."""
        ...

    def delete(self) -> None:
        """Delete the store and everything in it, and close it. Raise ``TraceError`` if somebody else has it open."""
        ...

    def see_in_place(self) -> None:
        """Check that the store still exists under its name. Raise ``TraceError`` if it was replaced, for example."""
        ...

    # The run: the one evaluation that the store holds

    def begin(
        self, settings: Mapping[str, Any], tasks: Mapping[str, str], asked: Mapping[str, Asked] | None = None
    ) -> None:
        """Begin the run. If the store has a run already, check that its settings and tasks are the same.

        Args:
            settings: the settings of the run, as plain JSON.
            tasks: the id of each task with its fingerprint, in order.
            asked: by the id of a task: its question and its expected answer, for people. What a store that has a run
                does not know yet is added.
        """
        ...

    def amend(self, settings: Mapping[str, Any]) -> None:
        """Replace some of the run's settings. The others stay."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return the run's settings. Empty before :meth:`begin`."""
        ...

    def tasks(self) -> dict[str, str]:
        """Return the id of each task of the run with its fingerprint, in the order given to :meth:`begin`."""
        ...

    def asked(self) -> dict[str, Asked]:
        """Return the question and the expected answer of each task, in the same order. ``Asked()`` if unknown."""
        ...

    def add(self, rollout: StoredRollout) -> bool:
        """Add a finished rollout to the run. Its task must be one of the run's.

        Returns:
            ``False`` if the run has a rollout with this key already; this one is then not stored.
        """
        ...

    def keys(self, task: str | None = None) -> set[Key]:
        """Return the keys of the run's rollouts, or of one task's.

        As in the methods below, recorded selections are not included.
        """
        ...

    def counts(self, samples: int, *, greedy: bool) -> dict[str, int]:
        """Return, for each task that has some, how many of its rollouts are there; no key is loaded.

        Args:
            samples: how many rollouts of the kind ``"sample"`` a task is to have; later ones do not count.
            greedy: whether the rollout at temperature 0 counts.
        """
        ...

    def has(self, key: Key) -> bool:
        """Tell whether the run has a rollout with this key."""
        ...

    def totals(self) -> list[TaskTotals]:
        """Return sums over the rollouts of each task, in task order, including tasks without a rollout."""
        ...

    def failures(self) -> list[tuple[Key, str]]:
        """Return the key and the error of each rollout of the run that failed."""
        ...

    def costs(self) -> dict[str, float]:
        """Return the costs of the run by the names in ``COSTS``. Rollouts that :meth:`forget_failed` deleted count."""
        ...

    # Recorded selections

    def record(self, result: Selected, *, name: str | None = None) -> int:
        """Store a selection with all its rollouts, in one transaction. Return its id, which is never used again."""
        ...

    def take(self, selection: StoredSelection, rollouts: Iterable[StoredRollout]) -> int:
        """Store a selection of another store with its rollouts, in one transaction. Return the id that it has here."""
        ...

    def recording(self, *, name: str | None = None) -> AbstractContextManager[None]:
        """Record every selection made inside the ``with`` block, in all threads: ``recorded_selections.recording``."""
        ...

    def selections(self) -> Iterator[StoredSelection]:
        """Yield the recorded selections, in the order in which they were recorded. One is in memory at a time."""
        ...

    def selection(self, number: int) -> StoredSelection:
        """Return the recorded selection with this id. Raise ``TraceError`` if there is none."""
        ...

    def candidates(self, selection: int) -> list[tuple[int, int, int]]:
        """Return ``(id, index, generated tokens)`` of each rollout of a selection, by index. No signals are loaded."""
        ...

    # Rollouts of the run and of recorded selections

    def rollouts(
        self, task: str | None = None, kind: Kind = "sample", *, selection: int | None = None
    ) -> Iterator[StoredRollout]:
        """Yield the rollouts of one task, or of one selection, by index; or all rollouts if neither is given.

        Of all, those of the run come first, task by task, then those of the selections, one selection after the other.
        One rollout is in memory at a time. A rollout that is deleted in the meantime is skipped.
        """
        ...

    def rollout(self, number: int) -> StoredRollout:
        """Return the rollout with this id. Raise ``TraceError`` if there is none."""
        ...

    # Deleting

    def forget_failed(self, tasks: Iterable[str] | None = None) -> int:
        """Delete the run's rollouts that failed, so that the evaluation runs them again. Return how many.

        Their costs still count in :meth:`costs`.

        Args:
            tasks: ids of the tasks whose rollouts may be deleted. ``None`` means all.
        """
        ...

    def forget(self, rollouts: Iterable[int]) -> int:
        """Delete rollouts of recorded selections, by id, and selections that have no rollout left. Return how many.

        A rollout of the run is not deleted, even if its id is given, because the evaluation would run it again.
        """
        ...

    def compact(self) -> None:
        """Give the disk space of deleted rollouts back to the system."""
        ...

    def size(self) -> int:
        """Return how much disk space the store takes, in bytes, or 0 if that is not known."""
        ...
