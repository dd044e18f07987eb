"""A trace file, open: rollouts are added as they finish, and read back one at a time."""

from __future__ import annotations

import json
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ec_agent.errors import EcAgentError, TraceError, TraceWarning
from ec_agent.rollouts.selection import Selection
from ec_agent.rollouts.session import Listener, listener
from ec_agent.traces.recorded import Left, Selected, candidate_of
from ec_agent.traces.rows import Key, Kind, StoredRollout, StoredSelection, add_rollout, read_rollout
from ec_agent.traces.schema import prepare, transaction, writing
from ec_agent.traces.whereabouts import delete, identity_of, see_in_place
from ec_agent.trajectory import Trajectory

__all__ = ["COSTS", "Key", "Kind", "StoredRollout", "StoredSelection", "TaskTotals", "TraceStore"]

COSTS = ("model_calls", "unsampled_calls", "prompt_tokens", "generated_tokens", "seconds")
RETRIED = "retried_costs"
"""What a file calls the costs of failed rollouts that were run again: gone, and paid for. No setting of the run."""

_MOST_NAMED = 5  # in an error


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """What a task's rollouts came to, without their timelines.

    Attributes:
        task: its id.
        rollouts: finished rollouts, failed ones included, the greedy one not.
        failed: those of them that failed.
        solved: their verdicts added up.
        best: the highest verdict.
        greedy: verdict on the greedy rollout; ``None`` where there is none yet.
        model_calls: LLM calls, the greedy rollout's included, as everywhere below.
        unsampled_calls: those of them that seed and temperature could not be applied to.
        prompt_tokens: tokens of the prompts.
        generated_tokens: tokens generated.
        seconds: time of the rollouts one after the other.
    """

    task: str
    rollouts: int
    failed: int
    solved: float
    best: float
    greedy: float | None
    model_calls: int
    unsampled_calls: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float


class TraceStore:
    """A trace file. Several processes may have it open and write; each call is one transaction.

    A rollout that was added survives a kill of the process, or of the machine, at any moment. A file of an older
    version is brought up when it is opened. One store is for one thread; :meth:`recording` is for all.

    Args:
        path: the file.
        create: make the file and its folder where they are missing.
        timeout: seconds to wait for another process that writes.

    Raises:
        TraceError: the file is missing, is no trace file, or is one of a newer version.
    """

    def __init__(self, path: str | Path, *, create: bool = False, timeout: float = 60.0) -> None:
        self.path = Path(path)
        if create:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TraceError(f"the folder of {path} cannot be made ({error}); give another file") from error
        elif not self.path.is_file():
            raise TraceError(f"there is no file {path}; `ec-agent eval` makes one, and TraceStore(path, create=True)")
        try:
            self._connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None)
        except sqlite3.Error as error:
            raise TraceError(f"{path} cannot be opened ({error}); give a file that can be written") from error
        try:
            prepare(self._connection, str(path), create=create)
            self._connection.execute("PRAGMA synchronous = FULL")  # kept through a power cut, too
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._opened = identity_of(self.path)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> TraceStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def delete(self) -> None:
        """Delete the file, and close it; with a ``TraceError`` where another process has it open."""
        delete(self._connection, self.path)

    def see_in_place(self) -> None:
        """See that what was opened is still the file of that name; with a ``TraceError`` where it is not."""
        see_in_place(self.path, self._opened)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        self.see_in_place()
        with transaction(self._connection):
            yield
        self.see_in_place()

    def begin(self, settings: Mapping[str, Any], tasks: Mapping[str, str]) -> None:
        """Begin the run that the file is for, or see that it is the one it was begun for.

        Args:
            settings: what a rollout depends on besides its task, plain JSON.
            tasks: each task's id with its fingerprint, in order.

        Raises:
            TraceError: the file holds a run with other settings or other tasks; the message names them.
        """
        with transaction(self._connection):
            if not self.settings():
                rows = [(name, json.dumps(value)) for name, value in settings.items()]
                self._connection.executemany("INSERT INTO run VALUES (?, ?)", rows)
                tasked = [(task, place, mark) for place, (task, mark) in enumerate(tasks.items())]
                self._connection.executemany("INSERT INTO tasks VALUES (?, ?, ?)", tasked)
                return
        differences = _differences(self.settings(), json.loads(json.dumps(dict(settings))))
        differences += _other_tasks(self.tasks(), tasks)
        if differences:
            raise TraceError(
                f"{self.path} holds another run:\n"
                + "\n".join(f"  {line}" for line in differences)
                + "\nRepeat that run's own command to go on with it, name another file, or start over with --fresh"
            )

    def amend(self, settings: Mapping[str, Any]) -> None:
        """Set some of the run's settings anew, plain JSON: what is only known in a later part of the run."""
        rows = [(name, json.dumps(value)) for name, value in settings.items()]
        with transaction(self._connection):
            self._connection.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)

    def settings(self) -> dict[str, Any]:
        """The run's settings; empty before :meth:`begin`."""
        query = "SELECT name, value FROM run WHERE name != ?"
        return {name: json.loads(value) for name, value in self._connection.execute(query, (RETRIED,))}

    def tasks(self) -> dict[str, str]:
        """Each task's id with its fingerprint, in order."""
        return dict(self._connection.execute("SELECT task, fingerprint FROM tasks ORDER BY place").fetchall())

    def keys(self) -> set[Key]:
        """The run's rollouts that are there."""
        query = "SELECT task, kind, number FROM rollouts WHERE task IS NOT NULL"
        return {Key(*row) for row in self._connection.execute(query)}

    def has(self, key: Key) -> bool:
        """Whether that rollout is there."""
        query = "SELECT 1 FROM rollouts WHERE task = ? AND kind = ? AND number = ?"
        return self._connection.execute(query, (key.task, key.kind, key.number)).fetchone() is not None

    def add(self, rollout: StoredRollout) -> bool:
        """Add a finished rollout of the run, whole.

        Returns:
            Whether it is this one that is kept: of two with the same key, the first.

        Raises:
            TraceError: the file cannot be written, or is not where it was.
        """
        with self._kept():
            return add_rollout(self._connection, rollout)

    def record(self, result: Selected, *, name: str | None = None) -> int:
        """Keep a selection with all its rollouts: receipt, timelines, calls, final actions.

        Args:
            result: what ``best_of_n(...).run(...)`` or ``.arun(...)`` returned. Token texts are in it with
                ``keep_text=True``, signals beside the entropy where the selector asks for them.
            name: what to call it, the question's id say. Names need not differ.

        Returns:
            Its id in the file.

        Raises:
            TraceError: this is no such result, or the file cannot be written, or is not where it was.
        """
        try:
            receipt, actions = result.selection, list(result.final_actions)
            candidates = list(zip(receipt.candidates, result.trajectories, actions, strict=True))
        except (AttributeError, TypeError, ValueError) as error:
            raise TraceError(
                f"cannot record {type(result).__name__} ({error}); give what best_of_n(...).run(...) returned"
            ) from error
        now = time.time()
        name = None if name is None else str(name).encode(errors="replace").decode()
        with self._kept():
            insert = "INSERT INTO selections (name, recorded, receipt) VALUES (?, ?, ?)"
            plain = json.dumps(receipt.to_dict(), default=repr)
            number = int(self._connection.execute(insert, (name, now, plain)).lastrowid or 0)
            for candidate, trajectory, action in candidates:
                add_rollout(self._connection, candidate_of(number, candidate, trajectory, action, now))
        return number

    @contextmanager
    def recording(self, *, name: str | None = None) -> Iterator[None]:
        """Record every selection made inside, whichever way: a node in a graph, ``invoke``, ``run``.

        From all threads and tasks that are started inside. A ``best_of_n`` within a rollout of another is not
        recorded by itself. What cannot be written gives a ``TraceWarning``; the agent goes on.

        Args:
            name: what to call the selections.

        Example:
            >>> with store.recording(name="question 7"):
            ...     graph.invoke({"messages": [("user", "...")]})
        """
        outer = listener.get()
        told = None if outer is None else outer.on_event

        def keep(selection: Selection, trajectories: Sequence[Trajectory], actions: Sequence[Any]) -> None:
            try:
                with TraceStore(self.path) as own:  # of the thread that the selection ends in
                    own.record(Left(selection, trajectories, actions), name=name)
            except (EcAgentError, sqlite3.Error) as error:
                warnings.warn(f"a selection was not recorded: {error}", TraceWarning, stacklevel=2)

        token = listener.set(Listener(told, on_left=keep))
        try:
            yield
        finally:
            listener.reset(token)

    def selections(self) -> Iterator[StoredSelection]:
        """The recorded selections, in the order in which they were recorded."""
        for (number,) in self._connection.execute("SELECT id FROM selections ORDER BY id").fetchall():
            if (found := self._selection(number)) is not None:  # it may have been pruned meanwhile
                yield found

    def selection(self, number: int) -> StoredSelection:
        """The recorded selection with that id.

        Raises:
            TraceError: there is none.
        """
        if (found := self._selection(number)) is None:
            raise TraceError(f"{self.path} has no selection {number}; `ec-agent traces ls` lists those it has")
        return found

    def _selection(self, number: int) -> StoredSelection | None:
        query = "SELECT id, name, recorded, receipt FROM selections WHERE id = ?"
        row = self._connection.execute(query, (number,)).fetchone()
        return None if row is None else _selection_of(*row)

    def rollouts(
        self, task: str | None = None, kind: Kind = "sample", *, selection: int | None = None
    ) -> Iterator[StoredRollout]:
        """The rollouts of one task or of one recorded selection, in index order; with neither, all there are.

        One is in memory at a time.

        Args:
            task: the task's id.
            kind: ``"sample"``, or ``"greedy"``; of a task alone.
            selection: the selection's id.
        """
        values: tuple[Any, ...] = ()
        if task is not None:
            where, values = "task = ? AND kind = ? ORDER BY number", (task, kind)
        elif selection is not None:
            where, values = "selection = ? ORDER BY number", (selection,)
        else:
            where = "true ORDER BY selection IS NOT NULL, task, selection, kind DESC, number"
        ids: Sequence[tuple[int]] = self._connection.execute(
            f"SELECT id FROM rollouts WHERE {where}", values
        ).fetchall()
        for (number,) in ids:
            if (found := read_rollout(self._connection, number)) is not None:
                yield found

    def candidates(self, selection: int) -> list[tuple[int, int, int]]:
        """Of each rollout of a recorded selection its id, its index and its generated tokens, without its timelines."""
        query = "SELECT id, number, generated_tokens FROM rollouts WHERE selection = ? ORDER BY number"
        return self._connection.execute(query, (selection,)).fetchall()

    def rollout(self, number: int) -> StoredRollout:
        """The rollout with that id.

        Raises:
            TraceError: there is none.
        """
        if (found := read_rollout(self._connection, number)) is None:
            raise TraceError(f"{self.path} has no rollout {number}; `ec-agent traces ls` lists those it has")
        return found

    def forget_failed(self) -> int:
        """Take the run's rollouts that failed out of the file; how many there were. Their costs stay counted."""
        self.amend({RETRIED: self._with_retried(self._costs("AND error IS NOT NULL"))})
        return self.forget("task IS NOT NULL AND error IS NOT NULL")

    def forget(self, where: str, values: Sequence[Any] = ()) -> int:
        """Take rollouts out of the file, whole; how many there were. A selection that has none left goes with them.

        Args:
            where: an SQL condition over the table ``rollouts``.
            values: of its placeholders.
        """
        chosen = f"SELECT id FROM rollouts WHERE {where}"
        with transaction(self._connection):
            for table in ("timelines", "calls"):
                self._connection.execute(f"DELETE FROM {table} WHERE rollout IN ({chosen})", values)
            gone = self._connection.execute(f"DELETE FROM rollouts WHERE {where}", values).rowcount
            self._connection.execute(
                "DELETE FROM selections WHERE id NOT IN (SELECT selection FROM rollouts WHERE selection IS NOT NULL)"
            )
        return gone

    def compact(self) -> None:
        """Give the room of what was taken out back to the disk.

        Raises:
            TraceError: the file cannot be written, or another process is using it.
        """
        with writing():
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def totals(self) -> list[TaskTotals]:
        """What each task's rollouts came to, in task order, those without a rollout included."""
        sample = "CASE WHEN kind = 'sample' THEN"
        costs = ", ".join(f"coalesce(sum({name}), 0)" for name in COSTS)
        query = (
            f"SELECT tasks.task, count({sample} 1 END), count({sample} error END), "
            f"coalesce(sum({sample} verdict END), 0.0), coalesce(max({sample} verdict END), 0.0), "
            f"max(CASE WHEN kind = 'greedy' THEN verdict END), {costs} "
            "FROM tasks LEFT JOIN rollouts USING (task) GROUP BY tasks.task ORDER BY tasks.place"
        )
        return [TaskTotals(*row) for row in self._connection.execute(query)]

    def failures(self) -> list[tuple[Key, str]]:
        """The run's rollouts that failed, with what they failed with."""
        query = (
            "SELECT task, kind, number, error FROM rollouts WHERE error IS NOT NULL AND task IS NOT NULL "
            "ORDER BY task, kind, number"
        )
        return [(Key(*row[:3]), row[3]) for row in self._connection.execute(query)]

    def costs(self) -> dict[str, float]:
        """What the run has cost, by the names of ``COSTS``: all rollouts that are there, and those run again since."""
        return self._with_retried(self._costs(""))

    def _with_retried(self, costs: Mapping[str, float]) -> dict[str, float]:
        row = self._connection.execute("SELECT value FROM run WHERE name = ?", (RETRIED,)).fetchone()
        before = json.loads(row[0]) if row else {}
        return {name: cost + before.get(name, 0) for name, cost in costs.items()}

    def _costs(self, condition: str) -> dict[str, float]:
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in COSTS)
        query = f"SELECT {sums} FROM rollouts WHERE task IS NOT NULL {condition}"
        return dict(zip(COSTS, self._connection.execute(query).fetchone(), strict=True))


def _selection_of(number: int, name: str | None, recorded: float, receipt: str) -> StoredSelection:
    return StoredSelection(number, name, recorded, Selection.from_dict(json.loads(receipt)))


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys([*there, *here])
    changed = [name for name in names if there.get(name) != here.get(name)]
    return [f"{name} was {there.get(name)!r}, and is {here.get(name)!r} now" for name in changed]


def _other_tasks(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    lines = []
    for what, ids in (
        ("tasks are gone", [task for task in there if task not in here]),
        ("tasks are new", [task for task in here if task not in there]),
        ("tasks ask something else", [task for task in here if task in there and there[task] != here[task]]),
    ):
        if ids:
            named = ", ".join(repr(task) for task in ids[:_MOST_NAMED])
            lines.append(f"{len(ids)} {what}: {named}{' ...' if len(ids) > _MOST_NAMED else ''}")
    return lines
