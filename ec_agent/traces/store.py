"""A trace file, open: rollouts are added as they finish, and read back one task at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ec_agent.entropy import FloatArray
from ec_agent.errors import TraceError
from ec_agent.signals import ENTROPY
from ec_agent.traces.actions import action_from_json, action_to_json
from ec_agent.traces.schema import check, prepare, transaction
from ec_agent.trajectory import Call, Trajectory

Kind = Literal["sample", "greedy"]
_FLOAT32 = np.dtype("<f4")
_PLAIN = (
    *("tokens", "model", "node", "started", "ended", "prompt_tokens", "cached_tokens"),
    *("capability", "partial", "constrained"),
)
_COLUMNS = (
    *("task", "kind", "number", "seed", "sampling", "unsampled_calls", "started", "seconds", "error", "verdict"),
    *("final_action", "model_calls", "tool_calls", "prompt_tokens", "cached_tokens", "generated_tokens"),
)
COSTS = ("model_calls", "unsampled_calls", "prompt_tokens", "generated_tokens", "seconds")
_MOST_NAMED = 5  # in an error


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which rollout of a run.

    Attributes:
        task: the task's id.
        kind: ``"sample"``, or ``"greedy"`` for the baseline at temperature 0.
        number: its index among the task's rollouts of that kind, from 0.
    """

    task: str
    kind: Kind
    number: int

    def __str__(self) -> str:
        """Which of its task's rollouts it is."""
        return "greedy rollout" if self.kind == "greedy" else f"rollout {self.number}"


@dataclass(frozen=True, slots=True, eq=False)
class StoredRollout:
    """One finished rollout.

    Attributes:
        key: which.
        seed: the seed it was to be sampled with.
        sampling: the request parameters asked for, the seed among them.
        trajectory: its LLM calls with every signal; read back, the signals have single precision.
        final_action: its final action; ``None`` where it failed.
        verdict: how it was judged, from 0 to 1; 0 where it failed.
        error: what it failed with.
        started: seconds since the epoch.
        seconds: how long it took.
        usage: ``prompt_tokens``, ``cached_tokens`` and ``generated_tokens``, as far as they were reported.
        tool_calls: tools executed.
        unsampled_calls: model calls to which ``sampling`` could not be applied.
    """

    key: Key
    seed: int
    sampling: Mapping[str, Any]
    trajectory: Trajectory
    final_action: Any
    verdict: float
    error: str | None
    started: float
    seconds: float
    usage: Mapping[str, int]
    tool_calls: int = 0
    unsampled_calls: int = 0


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

    A rollout that was added survives a kill of the process, or of the machine, at any moment.

    Args:
        path: the file.
        create: make the file and its folder where they are missing.
        timeout: seconds to wait for another process that writes.

    Raises:
        TraceError: the file is missing, is no trace file, or is one of another version.
    """

    def __init__(self, path: str | Path, *, create: bool = False, timeout: float = 60.0) -> None:
        self.path = Path(path)
        if create:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TraceError(f"the folder of {path} cannot be made ({error}); give another file") from error
        elif not self.path.is_file():
            raise TraceError(f"there is no file {path}; `ec-agent eval` makes one")
        try:
            self._connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None)
        except sqlite3.Error as error:
            raise TraceError(f"{path} cannot be opened ({error}); give a file that can be written") from error
        try:
            if create:
                prepare(self._connection, str(path))
            else:
                check(self._connection, str(path))
            self._connection.execute("PRAGMA synchronous = FULL")  # kept through a power cut, too
            self._connection.execute("PRAGMA foreign_keys = ON")
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
        return {name: json.loads(value) for name, value in self._connection.execute("SELECT name, value FROM run")}

    def tasks(self) -> dict[str, str]:
        """Each task's id with its fingerprint, in order."""
        return dict(self._connection.execute("SELECT task, fingerprint FROM tasks ORDER BY place").fetchall())

    def keys(self) -> set[Key]:
        """The rollouts that are there."""
        return {Key(*row) for row in self._connection.execute("SELECT task, kind, number FROM rollouts")}

    def has(self, key: Key) -> bool:
        """Whether that rollout is there."""
        query = "SELECT 1 FROM rollouts WHERE task = ? AND kind = ? AND number = ?"
        return self._connection.execute(query, (key.task, key.kind, key.number)).fetchone() is not None

    def add(self, rollout: StoredRollout) -> bool:
        """Add a finished rollout, whole.

        Returns:
            Whether it is this one that is kept: of two with the same key, the first.
        """
        marks = ", ".join("?" * len(_COLUMNS))
        insert = f"INSERT INTO rollouts ({', '.join(_COLUMNS)}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        with transaction(self._connection):
            done = self._connection.execute(insert, _row(rollout))
            if not done.rowcount:
                return False
            for place, call in enumerate(rollout.trajectory.calls):
                self._add_call(int(done.lastrowid or 0), place, call)
        return True

    def forget_failed(self) -> int:
        """Take the rollouts that failed out of the file; how many there were."""
        failed = "SELECT id FROM rollouts WHERE error IS NOT NULL"
        with transaction(self._connection):
            for table in ("timelines", "calls"):
                self._connection.execute(f"DELETE FROM {table} WHERE rollout IN ({failed})")
            return self._connection.execute("DELETE FROM rollouts WHERE error IS NOT NULL").rowcount

    def _add_call(self, rollout: int, place: int, call: Call) -> None:
        texts = None if call.texts is None else json.dumps(list(call.texts))
        values = (rollout, place, *(getattr(call, name) for name in _PLAIN), texts)
        columns = f"rollout, place, {', '.join(_PLAIN)}, texts"
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO calls ({columns}) VALUES ({marks})", values)
        signals = {ENTROPY: call.entropies, **call.signals}
        rows = [(rollout, place, name, values.astype(_FLOAT32).tobytes()) for name, values in signals.items()]
        self._connection.executemany("INSERT INTO timelines VALUES (?, ?, ?, ?)", rows)

    def rollouts(self, task: str, kind: Kind = "sample") -> Iterator[StoredRollout]:
        """The rollouts of one task, in index order."""
        query = f"SELECT id, {', '.join(_COLUMNS)} FROM rollouts WHERE task = ? AND kind = ? ORDER BY number"
        for rowid, *row in self._connection.execute(query, (task, kind)).fetchall():
            yield _rollout(dict(zip(_COLUMNS, row, strict=True)), Trajectory(list(self._calls(rowid))))

    def _calls(self, rollout: int) -> Iterator[Call]:
        signals: dict[int, dict[str, FloatArray]] = {}
        stored = "SELECT place, signal, data FROM timelines WHERE rollout = ? ORDER BY place, signal"
        for place, signal, data in self._connection.execute(stored, (rollout,)):
            signals.setdefault(place, {})[signal] = np.frombuffer(data, _FLOAT32).astype(np.float64)
        query = f"SELECT place, texts, {', '.join(_PLAIN)} FROM calls WHERE rollout = ? ORDER BY place"
        for place, texts, *values in self._connection.execute(query, (rollout,)).fetchall():
            plain = dict(zip(_PLAIN, values, strict=True))
            plain |= {"partial": bool(plain["partial"]), "constrained": bool(plain["constrained"])}
            kept = signals[place]
            yield Call(
                entropies=kept.pop(ENTROPY),
                signals=kept,
                texts=None if texts is None else tuple(json.loads(texts)),
                **plain,
            )

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
        """The rollouts that failed, with what they failed with."""
        query = "SELECT task, kind, number, error FROM rollouts WHERE error IS NOT NULL ORDER BY task, kind, number"
        return [(Key(*row[:3]), row[3]) for row in self._connection.execute(query)]

    def generated_tokens(self) -> int:
        """Tokens generated by all rollouts that are there."""
        found = self._connection.execute("SELECT coalesce(sum(generated_tokens), 0) FROM rollouts").fetchone()
        return int(found[0])


def _row(rollout: StoredRollout) -> tuple[Any, ...]:
    key, usage = rollout.key, rollout.usage
    error = None if rollout.error is None else rollout.error.encode(errors="replace").decode()
    return (
        *(key.task, key.kind, key.number, rollout.seed, json.dumps(dict(rollout.sampling)), rollout.unsampled_calls),
        *(rollout.started, rollout.seconds, error, float(rollout.verdict), action_to_json(rollout.final_action)),
        *(len(rollout.trajectory.calls), rollout.tool_calls),
        *(usage.get(name, 0) for name in ("prompt_tokens", "cached_tokens", "generated_tokens")),
    )


def _rollout(row: Mapping[str, Any], trajectory: Trajectory) -> StoredRollout:
    return StoredRollout(
        key=Key(row["task"], row["kind"], row["number"]),
        sampling=json.loads(row["sampling"]),
        trajectory=trajectory,
        final_action=action_from_json(row["final_action"]),
        usage={name: row[name] for name in ("prompt_tokens", "cached_tokens", "generated_tokens")},
        **{name: row[name] for name in ("seed", "verdict", "error", "started", "seconds")},
        **{name: row[name] for name in ("tool_calls", "unsampled_calls")},
    )


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
