"""The trace store in a SQL database. Rollouts are added when they finish, and read one at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar, get_args

from ec_agent.errors import TraceError
from ec_agent.rollouts.selection import Selection
from ec_agent.support.checks import (
    flag,
    instance,
    json_mapping,
    mapping,
    one_of,
    or_none,
    seconds,
    several,
    storable,
    text,
    whole,
)
from ec_agent.support.from_plain import MOST_WHOLE
from ec_agent.traces.recorded_selections import Selected, candidate_of, parts_of, recording
from ec_agent.traces.run_differences import see_same_run
from ec_agent.traces.sql.database import open_database
from ec_agent.traces.sql.rows import add_rollout, key_of, read_rollout
from ec_agent.traces.sql.run import read_asked, read_settings, read_tasks, write_asked, write_settings, write_tasks
from ec_agent.traces.sql.selections import add_selection, candidates_in, read_selection, selection_ids
from ec_agent.traces.sql.totals import RETRIED, costs, costs_of, counts, failures, totals
from ec_agent.traces.sql.unreadable_rows import UNSTORABLE, unstorable
from ec_agent.traces.stored import Asked, Key, Kind, StoredRollout, StoredSelection, TaskTotals

_Stored = TypeVar("_Stored")

_MOST = MOST_WHOLE - 1


class TraceStore:
    """A store of finished rollouts and recorded selections: a SQLite file, or a schema of a PostgreSQL database.

    Several processes may have it open and write to it. Each call that writes is one transaction. A rollout that was
    added survives a kill of the process and a power cut at any moment. A store of an older version is migrated when it
    is opened. A store must be used by one thread only; ``recording`` works for all threads.

    Args:
        path: the file, or the URL ``postgresql://...`` of a database. ``?schema=name`` names the schema; without, it is
            ``ec_agent``.
        create: whether to make the store if it is missing: the file and its folder, or the schema of the database. Only
            the owner can read it.
        timeout: seconds to wait while another process is writing; of PostgreSQL, also for a server that went away.

    Raises:
        TraceError: the store is missing, is not a trace store, was written by a newer version, or cannot be reached.
        ConfigError: ``timeout`` is not a number of seconds, or the URL cannot be read.
    """

    def __init__(self, path: str | Path, *, create: bool = False, timeout: float = 60.0) -> None:
        flag("create", create)
        timeout = seconds("timeout", timeout, "the seconds to wait for another process, 0 or more", least=0)
        self._database = open_database(path, create=create, timeout=timeout)

    def __enter__(self) -> TraceStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The path or the URL of the store, which is its name in messages. Passwords are not part of it."""
        return self._database.name

    @property
    def path(self) -> Path:
        """The path of the file. Raise ``TraceError`` if the store is in no file."""
        found = getattr(self._database, "path", None)
        if not isinstance(found, Path):
            raise TraceError(f"{self.name} is no file; use .name")
        return found

    def reopened(self) -> TraceStore:
        """Open the same store once more, for use in another thread."""
        again = object.__new__(type(self))
        again._database = self._database.reopened()
        return again

    def close(self) -> None:
        """Close the store."""
        self._database.close()

    def delete(self) -> None:
        """Delete the store, and close it. Raise ``TraceError`` if another process has it open."""
        self._database.delete()

    def see_in_place(self) -> None:
        """Check that the store of this name is still the one that was opened. Raise ``TraceError`` if it is not."""
        self._database.see_in_place()

    def begin(
        self, settings: Mapping[str, Any], tasks: Mapping[str, str], asked: Mapping[str, Asked] | None = None
    ) -> None:
        """Begin the run. If the store has a run already, check that its settings and tasks are the same.

        Args:
            settings: everything that a rollout depends on besides its task, as plain JSON.
            tasks: the id of each task with its fingerprint, in order.
            asked: by the id of a task: its question and its expected answer, for people. What a store with a run does
                not know yet is added.

        Raises:
            TraceError: the store holds a run with other settings or other tasks. The message lists the differences.
        """
        json_mapping("settings", settings)
        json_mapping("tasks", tasks)
        asked = {} if asked is None else mapping("asked", asked, "a dict from a task's id to Asked(question, expected)")
        for task, each in asked.items():
            instance(f"asked[{task!r}]", each, Asked, "Asked(question, expected)")
        if self._database.write(lambda: self._begin(settings, tasks, asked)):
            return
        see_same_run(self.name, (self.settings(), self.tasks()), (settings, tasks))
        there = self.asked()
        if lacking := {task: each for task, each in asked.items() if there.get(task) == Asked() != each}:
            self._database.write(lambda: write_asked(self._database, lacking))

    def _begin(self, settings: Mapping[str, Any], tasks: Mapping[str, str], asked: Mapping[str, Asked]) -> bool:
        """Write the run if there is none."""
        if self.settings():
            return False
        write_settings(self._database, settings)
        write_tasks(self._database, tasks)
        write_asked(self._database, asked)
        return True

    def amend(self, settings: Mapping[str, Any]) -> None:
        """Replace some of the run's settings, as plain JSON: those that are known only later in the run."""
        json_mapping("settings", settings)
        self._database.write(lambda: write_settings(self._database, settings))

    def settings(self) -> dict[str, Any]:
        """Return the run's settings. Empty before ``begin``."""
        return self._database.read("a setting of the run", lambda: read_settings(self._database))

    def tasks(self) -> dict[str, str]:
        """Return the id of each task with its fingerprint, in order."""
        return self._database.read("a task", lambda: read_tasks(self._database))

    def asked(self) -> dict[str, Asked]:
        """Return the question and the expected answer of each task, by its id, in order."""
        return self._database.read("a task", lambda: read_asked(self._database))

    def keys(self, task: str | None = None) -> set[Key]:
        """Return the keys of the run's rollouts, or of one task's."""
        or_none("task", task, storable)
        which, values = ("task IS NOT NULL", ()) if task is None else ("task = ?", (task,))
        query = f"SELECT task, kind, number FROM rollouts WHERE {which}"
        return self._database.read("a rollout", lambda: {key_of(*row) for row in self._database.rows(query, values)})

    def counts(self, samples: int, *, greedy: bool) -> dict[str, int]:
        """Return, for each task that has some, how many of its rollouts are there, by the id of the task.

        Args:
            samples: how many rollouts of the kind ``"sample"`` a task is to have; later ones do not count.
            greedy: whether the rollout at temperature 0 counts.
        """
        below = min(whole("samples", samples), _MOST)
        flag("greedy", greedy)
        return self._database.read("a rollout", lambda: counts(self._database, below, greedy=greedy))

    def has(self, key: Key) -> bool:
        """Tell whether the run has a rollout with this key."""
        instance("key", key, Key, "Key(task, kind, number)")
        query = "SELECT 1 FROM rollouts WHERE task = ? AND kind = ? AND number = ?"
        values = (key.task, key.kind, key.number)
        return self._database.read("a rollout", lambda: bool(self._database.rows(query, values)))

    def add(self, rollout: StoredRollout) -> bool:
        """Add a finished rollout to the run, with its calls and signals.

        Returns:
            ``False`` if the run has a rollout with this key already; this one is then not stored.

        Raises:
            TraceError: the store cannot be written, or was deleted, moved or replaced.
        """
        instance("rollout", rollout, StoredRollout, "a StoredRollout(...)")
        try:
            return self._database.write(lambda: add_rollout(self._database, rollout), alone=False)
        except UNSTORABLE as error:
            raise unstorable(error) from error

    def record(self, result: Selected, *, name: str | None = None) -> int:
        """Store a selection with all its rollouts: the receipt, the calls, their signals and the final actions.

        Args:
            result: what ``best_of_n(...).run(...)`` or ``.arun(...)`` returned. It has the texts of tokens if it was
                made with ``keep_text=True``, and other signals than the entropy if the selector reads them.
            name: name of the selection, such as the id of the question. Several selections may have the same name.

        Returns:
            The id of the selection in the store.

        Raises:
            TraceError: ``result`` is something else, or the store cannot be written, or was deleted, moved or replaced.
        """
        or_none("name", name, text, empty=True)
        receipt, candidates = parts_of(result)
        now = time.time()

        def rollouts(number: int) -> Iterator[StoredRollout]:
            for candidate, trajectory, action in candidates:
                yield candidate_of(number, candidate, trajectory, action, now)

        return self._store(name, now, receipt, rollouts)

    def take(self, selection: StoredSelection, rollouts: Iterable[StoredRollout]) -> int:
        """Store a selection of another store, with its rollouts and the moment at which it was recorded.

        Args:
            selection: the selection. Its id is not taken over.
            rollouts: those of its rollouts that are to be stored.

        Returns:
            The id of the selection in this store.

        Raises:
            TraceError: the store cannot be written, or was deleted, moved or replaced.
        """
        instance("selection", selection, StoredSelection, "a StoredSelection(...), as selections() yields")
        given = several("rollouts", rollouts, StoredRollout, "StoredRollout(...) objects, as rollouts() yields")

        def candidates(number: int) -> Iterator[StoredRollout]:
            for rollout in given:
                yield replace(rollout, selection=number)

        return self._store(selection.name, selection.recorded, selection.receipt, candidates)

    def _store(
        self, name: str | None, recorded: float, receipt: Selection, of: Callable[[int], Iterable[StoredRollout]]
    ) -> int:
        """Write a selection, and the rollouts that are made once its id is known."""
        try:
            return self._database.write(lambda: add_selection(self._database, name, recorded, receipt, of), alone=False)
        except UNSTORABLE as error:
            raise unstorable(error) from error

    def recording(self, *, name: str | None = None) -> AbstractContextManager[None]:
        """Record every selection made inside the ``with`` block, by a node of a graph, ``invoke`` or ``run``.

        This includes selections in threads and tasks that are started inside the block. A ``best_of_n`` inside a
        rollout of another one is not recorded. If a selection cannot be written, there is a ``TraceWarning``, and the
        agent continues. If another process is writing, it waits for up to ``timeout`` seconds.

        Args:
            name: name for the selections.

        Example:
            >>> with store.recording(name="question 7"):
            ...     graph.invoke({"messages": [("user", "...")]})
        """
        or_none("name", name, text, empty=True)
        return recording(self.reopened, name=name)

    def selections(self) -> Iterator[StoredSelection]:
        """Yield the recorded selections, in the order in which they were recorded. One is in memory at a time."""
        for number in self._database.read("a selection", lambda: selection_ids(self._database)):
            if (found := self._selection(number)) is not None:  # it may have been deleted in the meantime
                yield found

    def selection(self, number: int) -> StoredSelection:
        """Return the recorded selection with this id.

        Raises:
            TraceError: there is none.
        """
        return self._found("selection", number, self._selection)

    def _selection(self, number: int) -> StoredSelection | None:
        return self._database.read(f"selection {number}", lambda: read_selection(self._database, number))

    def rollouts(
        self, task: str | None = None, kind: Kind = "sample", *, selection: int | None = None
    ) -> Iterator[StoredRollout]:
        """Yield the rollouts of one task, or of one recorded selection, by index; or all rollouts if neither is given.

        One is in memory at a time.

        Args:
            task: id of the task.
            kind: ``"sample"`` or ``"greedy"``. It is used only together with ``task``.
            selection: id of the selection.
        """
        or_none("task", task, storable)
        one_of("kind", kind, get_args(Kind))
        selection = or_none("selection", selection, whole, -_MOST, _MOST)
        values: tuple[Any, ...] = ()
        if task is not None:
            where, values = "task = ? AND kind = ? ORDER BY number", (task, kind)
        elif selection is not None:
            where, values = "selection = ? ORDER BY number", (selection,)
        else:
            where = "true ORDER BY selection IS NOT NULL, task, selection, kind DESC, number"
        query = f"SELECT id FROM rollouts WHERE {where}"
        ids = self._database.read("a rollout", lambda: self._database.rows(query, values))
        for (number,) in ids:
            if (found := self._rollout(number)) is not None:  # it may have been deleted in the meantime
                yield found

    def candidates(self, selection: int) -> list[tuple[int, int, int]]:
        """Return ``(id, index, generated tokens)`` of each rollout of a selection, by index. No signals are loaded."""
        selection = whole("selection", selection, -_MOST, _MOST)
        return self._database.read("a rollout", lambda: candidates_in(self._database, selection))

    def _rollout(self, number: int) -> StoredRollout | None:
        return self._database.read(f"rollout {number}", lambda: read_rollout(self._database, number))

    def rollout(self, number: int) -> StoredRollout:
        """Return the rollout with this id.

        Raises:
            TraceError: there is none.
        """
        return self._found("rollout", number, self._rollout)

    def _found(self, what: str, number: int, read: Callable[[int], _Stored | None]) -> _Stored:
        number = whole(f"the number of the {what}", number, -_MOST, _MOST)
        if (found := read(number)) is None:
            raise TraceError(f"{self.name} has no {what} {number}; run `ec-agent traces ls` to see which it has")
        return found

    def forget_failed(self, tasks: Iterable[str] | None = None) -> int:
        """Delete the run's rollouts that failed, and return how many. Their costs still count in ``costs``.

        Args:
            tasks: ids of the tasks whose rollouts may be deleted. ``None`` means all.
        """
        where, values = "task IS NOT NULL AND error IS NOT NULL", list[str]()
        if tasks is not None:
            named = json.dumps(several("tasks", tasks, str, "ids of tasks"))
            where, values = f"{where} AND task IN ({self._database.TEXTS})", [named]

        def write() -> int:
            spent = self._database.read("what it cost", lambda: costs_of(self._database, where, values))
            write_settings(self._database, {RETRIED: spent})
            return self._forget(where, values)

        return self._database.write(write)

    def forget(self, rollouts: Iterable[int]) -> int:
        """Delete rollouts of recorded selections, and selections that have no rollout left. Return how many rollouts.

        Rollouts of an evaluation are never deleted, even if their ids are given.

        Args:
            rollouts: ids of the rollouts.
        """
        ids = json.dumps([int(each) for each in several("rollouts", rollouts, Integral, "ids of rollouts")])
        where = f"selection IS NOT NULL AND id IN ({self._database.IDS})"
        return self._database.write(lambda: self._forget(where, (ids,)))

    def _forget(self, where: str, values: Sequence[Any] = ()) -> int:
        chosen = f"SELECT id FROM rollouts WHERE {where}"
        for table in ("timelines", "calls"):
            self._database.change(f"DELETE FROM {table} WHERE rollout IN ({chosen})", values)
        gone = self._database.change(f"DELETE FROM rollouts WHERE {where}", values)
        self._database.change(
            "DELETE FROM selections WHERE id NOT IN (SELECT selection FROM rollouts WHERE selection IS NOT NULL)"
        )
        return gone

    def compact(self) -> None:
        """Give the disk space of deleted rollouts back to the system.

        Raises:
            TraceError: the store cannot be written, or another process is using it.
        """
        self._database.compact()

    def size(self) -> int:
        """Return how much disk space the store takes, in bytes."""
        return self._database.size()

    def totals(self) -> list[TaskTotals]:
        """Return sums over the rollouts of each task, in task order, including tasks without a rollout."""
        return self._database.read("a task", lambda: totals(self._database))

    def failures(self) -> list[tuple[Key, str]]:
        """Return the key and the error of each rollout of the run that failed."""
        return self._database.read("a rollout", lambda: failures(self._database))

    def costs(self) -> dict[str, float]:
        """Return the costs of the run by the names in ``COSTS``. Rollouts that ``forget_failed`` deleted count, too."""
        return self._database.read("what it cost", lambda: costs(self._database))
