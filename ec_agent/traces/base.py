"""What a store of traces can do, whatever keeps it; everything outside the stores' own rooms asks for this alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from ec_agent.traces.recorded import Selected
from ec_agent.traces.stored import Asked, Key, Kind, StoredRollout, StoredSelection, TaskTotals


class TraceStoreProtocol(Protocol):
    """A store of finished rollouts: those of one evaluation, those of recorded selections, or both.

    Three things hold for every store. What was added survives a kill of the process at any moment. Each call that
    writes is one transaction: a rollout is there with all its calls and signals, or not at all. Several processes may
    write at once, and of two rollouts with the same key the first is kept. An open store is for one thread;
    :meth:`reopened` and :meth:`recording` are for others.

    Signals are kept in single precision. What cannot be read or written is a ``TraceError`` that says what to do;
    an argument that makes no sense a ``ConfigError``. ``tests/traces/test_store_contract.py`` holds every store to
    this.
    """

    # Open and close

    @property
    def name(self) -> str:
        """What messages call it: the name by which ``open_store`` finds it again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None, /
    ) -> None: ...

    def reopened(self) -> Self:
        """The same store, opened once more, for another thread."""
        ...

    def close(self) -> None:
        """Close it. Closing twice is no error."""
        ...

    def delete(self) -> None:
        """Delete the store with all that is in it, and close it; refused where somebody else uses it."""
        ...

    def see_in_place(self) -> None:
        """See that what was written will be found under the store's name; a file may have been replaced meanwhile."""
        ...

    # The evaluation that the store is for: one run

    def begin(
        self, settings: Mapping[str, Any], tasks: Mapping[str, str], asked: Mapping[str, Asked] | None = None
    ) -> None:
        """Begin the run, or see that the store was begun with the same settings and tasks (id -> fingerprint).

        What tasks ask (id -> question and answer) is kept for readers; a store that goes on gets what it lacks of it.
        """
        ...

    def amend(self, settings: Mapping[str, Any]) -> None:
        """Set some of the run's settings anew; the others stay."""
        ...

    def settings(self) -> dict[str, Any]:
        """The run's settings; empty before :meth:`begin`."""
        ...

    def tasks(self) -> dict[str, str]:
        """Each task's id with its fingerprint, in the order in which :meth:`begin` was given them."""
        ...

    def asked(self) -> dict[str, Asked]:
        """What each task asks, by its id, in the same order; empty ``Asked()`` where that is not known."""
        ...

    def add(self, rollout: StoredRollout) -> bool:
        """Add a finished rollout of the run; whether it is this one that is kept. Its task must be one of the run's."""
        ...

    def keys(self) -> set[Key]:
        """The run's rollouts that are there. Those of recorded selections are none of the run's, here and below."""
        ...

    def has(self, key: Key) -> bool:
        """Whether that rollout of the run is there."""
        ...

    def totals(self) -> list[TaskTotals]:
        """What each task's rollouts came to, in task order, tasks without a rollout included."""
        ...

    def failures(self) -> list[tuple[Key, str]]:
        """The run's rollouts that failed, by key, with what they failed with."""
        ...

    def costs(self) -> dict[str, float]:
        """What the run has cost, by the names of ``COSTS``, what :meth:`forget_failed` took out included."""
        ...

    # Recorded selections

    def record(self, result: Selected, *, name: str | None = None) -> int:
        """Keep a selection with all its rollouts, in one transaction; its id, which is never given twice."""
        ...

    def recording(self, *, name: str | None = None) -> AbstractContextManager[None]:
        """Record every selection made inside, from all threads; ``recorded.recording`` does it for every store."""
        ...

    def selections(self) -> Iterator[StoredSelection]:
        """The recorded selections, in the order in which they were recorded; one is in memory at a time."""
        ...

    def selection(self, number: int) -> StoredSelection:
        """The recorded selection with that id; a ``TraceError`` where there is none."""
        ...

    def candidates(self, selection: int) -> list[tuple[int, int, int]]:
        """Of each rollout of a selection its id, its index and its generated tokens, in index order; no signals."""
        ...

    # Rollouts of both kinds

    def rollouts(
        self, task: str | None = None, kind: Kind = "sample", *, selection: int | None = None
    ) -> Iterator[StoredRollout]:
        """The rollouts of one task, or of one selection, in index order; with neither all there are.

        Of all, those of the run come first, task by task, then those of the selections; rollouts of one task or
        selection are together. One is in memory at a time, and one that was taken out meanwhile is passed over.
        """
        ...

    def rollout(self, number: int) -> StoredRollout:
        """The rollout with that id; a ``TraceError`` where there is none."""
        ...

    # Taking out

    def forget_failed(self) -> int:
        """Take the run's rollouts that failed out, so that they run again; how many. Their costs stay counted."""
        ...

    def forget(self, rollouts: Iterable[int]) -> int:
        """Take rollouts of recorded selections out, by id, with a selection that has none left; how many there were.

        A rollout of the run is left where it is, even if its id is among them: the evaluation would run it again.
        """
        ...

    def compact(self) -> None:
        """Give the room of what was taken out back to the disk."""
        ...

    def size(self) -> int:
        """How much room it takes on the disk, in bytes; 0 where that is not known."""
        ...
