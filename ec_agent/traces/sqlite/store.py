"""The trace store in a SQLite file. Rollouts are added when they finish, and read one at a time."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar, get_args

from ec_agent.errors import TraceError
from ec_agent.rollouts.selection import Selection
from ec_agent.support.checks import (
    file_path,
    flag,
    instance,
    is_file,
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
from ec_agent.support.from_plain import MOST_WHOLE, of_type, parsed, text_of, typed
from ec_agent.support.private_files import make_private
from ec_agent.traces.fitting import receipt_of
from ec_agent.traces.recorded_selections import Selected, candidate_of, parts_of, recording
from ec_agent.traces.run_differences import see_same_run
from ec_agent.traces.sqlite.damaged_files import reading
from ec_agent.traces.sqlite.rows import add_rollout, key_of, read_rollout
from ec_agent.traces.sqlite.run import read_asked, read_settings, read_tasks, write_asked, write_settings, write_tasks
from ec_agent.traces.sqlite.schema import prepare, transaction, writing
from ec_agent.traces.sqlite.totals import RETRIED, costs, failures, totals
from ec_agent.traces.sqlite.whereabouts import delete, identity_of, see_in_place
from ec_agent.traces.stored import Asked, Key, Kind, StoredRollout, StoredSelection, TaskTotals

_Stored = TypeVar("_Stored")

_MOST = MOST_WHOLE - 1


class TraceStore:
    """A trace file: finished rollouts and recorded selections in a SQLite file.

    Several processes may have it open and write to it. Each call that writes is one transaction. A rollout that was
    added survives a kill of the process and a power cut at any moment. A file of an older version is migrated when it
    is opened. A store must be used by one thread only; ``recording`` works for all threads.

    Args:
        path: the file.
        create: whether to make the file and its folder if they are missing. Only the owner can read the file.
        timeout: seconds to wait while another process is writing.

    Raises:
        TraceError: the file is missing, is not a trace file, or was written by a newer version.
        ConfigError: ``timeout`` is not a number of seconds.
    """

    def __init__(self, path: str | Path, *, create: bool = False, timeout: float = 60.0) -> None:
        self.path = file_path("path", path, "the name of a trace file")
        flag("create", create)
        self._timeout = seconds("timeout", timeout, "the seconds to wait for another process, 0 or more", least=0)
        if create:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TraceError(f"the folder of {path} cannot be made ({error}); give another file") from error
        elif not is_file(self.path):
            raise TraceError(
                f"there is no file {path}; run `ec-agent eval`, or use TraceStore(path, create=True), to make one"
            )
        try:
            if create:
                make_private(self.path)
            self._connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise TraceError(f"{path} cannot be opened ({error}); give a file that can be written") from error
        try:
            prepare(self._connection, str(path), create=create)
            with reading(self.path, "its list of tables"):
                self._connection.execute("PRAGMA synchronous = FULL")  # so that data survives a power cut, too
                self._connection.execute("PRAGMA foreign_keys = ON")
            self._opened = identity_of(self.path)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> TraceStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The path of the file, which is the name of the store in messages."""
        return str(self.path)

    def reopened(self) -> TraceStore:
        """Open the same file once more, for use in another thread."""
        return TraceStore(self.path, timeout=self._timeout)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def delete(self) -> None:
        """Delete the file, and close the store. Raise ``TraceError`` if another process has the file open."""
        delete(self._connection, self.path)

    def see_in_place(self) -> None:
        """Check that the file under this name is still the one that was opened. Raise ``TraceError`` if it is not."""
        see_in_place(self.path, self._opened)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        self.see_in_place()
        try:
            with transaction(self._connection):
                yield
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise TraceError(
                f"a rollout cannot be stored ({type(error).__name__}: {error}); give what an evaluation or "
                "best_of_n(...).run(...) made"
            ) from error
        self.see_in_place()

    def begin(
        self, settings: Mapping[str, Any], tasks: Mapping[str, str], asked: Mapping[str, Asked] | None = None
    ) -> None:
        """Begin the run. If the file has a run already, check that its settings and tasks are the same.

        Args:
            settings: everything that a rollout depends on besides its task, as plain JSON.
            tasks: the id of each task with its fingerprint, in order.
            asked: by the id of a task: its question and its expected answer, for people. What a file with a run does
                not know yet is added.

        Raises:
            TraceError: the file holds a run with other settings or other tasks. The message lists the differences.
        """
        json_mapping("settings", settings)
        json_mapping("tasks", tasks)
        asked = {} if asked is None else mapping("asked", asked, "a dict from a task's id to Asked(question, expected)")
        for task, each in asked.items():
            instance(f"asked[{task!r}]", each, Asked, "Asked(question, expected)")
        with transaction(self._connection):
            if not self.settings():
                write_settings(self._connection, settings)
                write_tasks(self._connection, tasks)
                write_asked(self._connection, asked)
                return
        see_same_run(self.name, (self.settings(), self.tasks()), (settings, tasks))
        there = self.asked()
        if lacking := {task: each for task, each in asked.items() if there.get(task) == Asked() != each}:
            with transaction(self._connection):
                write_asked(self._connection, lacking)

    def amend(self, settings: Mapping[str, Any]) -> None:
        """Replace some of the run's settings, as plain JSON: those that are known only later in the run."""
        json_mapping("settings", settings)
        with transaction(self._connection):
            write_settings(self._connection, settings)

    def settings(self) -> dict[str, Any]:
        """Return the run's settings. Empty before ``begin``."""
        with reading(self.path, "a setting of the run"):
            return read_settings(self._connection)

    def tasks(self) -> dict[str, str]:
        """Return the id of each task with its fingerprint, in order."""
        with reading(self.path, "a task"):
            return read_tasks(self._connection)

    def asked(self) -> dict[str, Asked]:
        """Return the question and the expected answer of each task, by its id, in order."""
        with reading(self.path, "a task"):
            return read_asked(self._connection)

    def keys(self) -> set[Key]:
        """Return the keys of the run's rollouts."""
        query = "SELECT task, kind, number FROM rollouts WHERE task IS NOT NULL"
        with reading(self.path, "a rollout"):
            return {key_of(*row) for row in self._connection.execute(query)}

    def has(self, key: Key) -> bool:
        """Tell whether the run has a rollout with this key."""
        instance("key", key, Key, "Key(task, kind, number)")
        query = "SELECT 1 FROM rollouts WHERE task = ? AND kind = ? AND number = ?"
        with reading(self.path, "a rollout"):
            return self._connection.execute(query, (key.task, key.kind, key.number)).fetchone() is not None

    def add(self, rollout: StoredRollout) -> bool:
        """Add a finished rollout to the run, with its calls and signals.

        Returns:
            ``False`` if the run has a rollout with this key already; this one is then not stored.

        Raises:
            TraceError: the file cannot be written, or was deleted, moved or replaced.
        """
        instance("rollout", rollout, StoredRollout, "a StoredRollout(...)")
        with self._kept():
            return add_rollout(self._connection, rollout)

    def record(self, result: Selected, *, name: str | None = None) -> int:
        """Store a selection with all its rollouts: the receipt, the calls, their signals and the final actions.

        Args:
            result: what ``best_of_n(...).run(...)`` or ``.arun(...)`` returned. It has the texts of tokens if it was
                made with ``keep_text=True``, and other signals than the entropy if the selector reads them.
            name: name of the selection, such as the id of the question. Several selections may have the same name.

        Returns:
            The id of the selection in the file.

        Raises:
            TraceError: ``result`` is something else, or the file cannot be written, or was deleted, moved or replaced.
        """
        or_none("name", name, text, empty=True)
        receipt, candidates = parts_of(result)
        now = time.time()
        with self._kept():
            insert = "INSERT INTO selections (name, recorded, receipt) VALUES (?, ?, ?)"
            plain = receipt_of(receipt)
            number = int(self._connection.execute(insert, (text_of(name), now, plain)).lastrowid or 0)
            for candidate, trajectory, action in candidates:
                add_rollout(self._connection, candidate_of(number, candidate, trajectory, action, now))
        return number

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
        with reading(self.path, "a selection"):
            ids = self._connection.execute("SELECT id FROM selections ORDER BY id").fetchall()
        for (number,) in ids:
            if (found := self._selection(number)) is not None:  # it may have been deleted in the meantime
                yield found

    def selection(self, number: int) -> StoredSelection:
        """Return the recorded selection with this id.

        Raises:
            TraceError: there is none.
        """
        return self._found("selection", number, self._selection)

    def _selection(self, number: int) -> StoredSelection | None:
        query = "SELECT id, name, recorded, receipt FROM selections WHERE id = ?"
        with reading(self.path, f"selection {number}"):
            row = self._connection.execute(query, (number,)).fetchone()
            return None if row is None else _selection_of(*row)

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
        with reading(self.path, "a rollout"):
            ids: Sequence[tuple[int]] = self._connection.execute(
                f"SELECT id FROM rollouts WHERE {where}", values
            ).fetchall()
        for (number,) in ids:
            if (found := self._rollout(number)) is not None:  # it may have been deleted in the meantime
                yield found

    def candidates(self, selection: int) -> list[tuple[int, int, int]]:
        """Return ``(id, index, generated tokens)`` of each rollout of a selection, by index. No signals are loaded."""
        selection = whole("selection", selection, -_MOST, _MOST)
        query = "SELECT id, number, generated_tokens FROM rollouts WHERE selection = ? ORDER BY number"
        with reading(self.path, "a rollout"):
            rows = self._connection.execute(query, (selection,)).fetchall()
            return list(of_type(rows, tuple[tuple[int, int, int], ...], "rollouts"))

    def _rollout(self, number: int) -> StoredRollout | None:
        with reading(self.path, f"rollout {number}"):
            return read_rollout(self._connection, number)

    def rollout(self, number: int) -> StoredRollout:
        """Return the rollout with this id.

        Raises:
            TraceError: there is none.
        """
        return self._found("rollout", number, self._rollout)

    def _found(self, what: str, number: int, read: Callable[[int], _Stored | None]) -> _Stored:
        number = whole(f"the number of the {what}", number, -_MOST, _MOST)
        if (found := read(number)) is None:
            raise TraceError(f"{self.path} has no {what} {number}; run `ec-agent traces ls` to see which it has")
        return found

    def forget_failed(self) -> int:
        """Delete the run's rollouts that failed, and return how many. Their costs still count in ``costs``."""
        with transaction(self._connection):
            with reading(self.path, "what it cost"):
                spent = costs(self._connection, failed=True)
            write_settings(self._connection, {RETRIED: spent})
            return self._forget("task IS NOT NULL AND error IS NOT NULL")

    def forget(self, rollouts: Iterable[int]) -> int:
        """Delete rollouts of recorded selections, and selections that have no rollout left. Return how many rollouts.

        Rollouts of an evaluation are never deleted, even if their ids are given.

        Args:
            rollouts: ids of the rollouts.
        """
        ids = json.dumps([int(each) for each in several("rollouts", rollouts, Integral, "ids of rollouts")])
        with transaction(self._connection):
            return self._forget("selection IS NOT NULL AND id IN (SELECT value FROM json_each(?))", (ids,))

    def _forget(self, where: str, values: Sequence[Any] = ()) -> int:
        chosen = f"SELECT id FROM rollouts WHERE {where}"
        for table in ("timelines", "calls"):
            self._connection.execute(f"DELETE FROM {table} WHERE rollout IN ({chosen})", values)
        gone = self._connection.execute(f"DELETE FROM rollouts WHERE {where}", values).rowcount
        self._connection.execute(
            "DELETE FROM selections WHERE id NOT IN (SELECT selection FROM rollouts WHERE selection IS NOT NULL)"
        )
        return gone

    def compact(self) -> None:
        """Give the disk space of deleted rollouts back to the system.

        Raises:
            TraceError: the file cannot be written, or another process is using it.
        """
        with writing():
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size(self) -> int:
        """Return the size in bytes of the file and of its write-ahead log, where SQLite puts the latest writes."""
        self.see_in_place()
        log = self.path.with_name(f"{self.path.name}-wal")
        return self.path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def totals(self) -> list[TaskTotals]:
        """Return sums over the rollouts of each task, in task order, including tasks without a rollout."""
        with reading(self.path, "a task"):
            return totals(self._connection)

    def failures(self) -> list[tuple[Key, str]]:
        """Return the key and the error of each rollout of the run that failed."""
        with reading(self.path, "a rollout"):
            return failures(self._connection)

    def costs(self) -> dict[str, float]:
        """Return the costs of the run by the names in ``COSTS``. Rollouts that ``forget_failed`` deleted count, too."""
        with reading(self.path, "what it cost"):
            return costs(self._connection)


def _selection_of(number: Any, name: Any, recorded: Any, receipt: Any) -> StoredSelection:
    plain = {"id": number, "name": name, "recorded": recorded}
    receipt = Selection.from_dict(parsed(receipt, "receipt"))
    return StoredSelection(**typed(StoredSelection, plain, "selections"), receipt=receipt)
