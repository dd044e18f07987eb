"""Reads LangGraph's checkpoints in SQLite (``SqliteSaver``, ``AsyncSqliteSaver``). A thread is a rollout.

Its calls are the answers in the thread's state and in what its tasks wrote, each once, in the order of the checkpoints:
also answers that a later step removed from the state, and those of subgraphs. If a thread was forked (time travel),
only the branch of its latest checkpoint counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ec_agent.capture.known_answers import Answer
from ec_agent.capture.shapes import call_of, get
from ec_agent.evaluator import KEPT
from ec_agent.insides.saved_checkpoints import plain_value
from ec_agent.logs.asked import asked_of
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.bounds import Bounds
from ec_agent.logs.nested import answers_within
from ec_agent.logs.source import Source, Trouble
from ec_agent.logs.sqlite_files import OtherDatabase, database, tables_of
from ec_agent.numbers.trajectory import Call, Trajectory

_THREADS = "SELECT thread_id FROM checkpoints GROUP BY thread_id ORDER BY min(checkpoint_id)"
_CHECKPOINTS = (
    "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata FROM checkpoints WHERE thread_id = ? "
    "ORDER BY checkpoint_id, checkpoint_ns"
)
_STATE = "SELECT type, checkpoint FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
_WRITES = (
    "SELECT channel, type, value FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? "
    "ORDER BY task_id, idx"
)
_Place = tuple[str, str, str]  # thread, namespace, id


@dataclass(slots=True)
class _Thread:
    """What was found in a thread so far.

    Attributes:
        name: its id.
        bounds: limits for JSON inside of texts.
        calls: its calls.
        seen: what identifies their answers.
        asked: digest of its first question.
        error: the error that its latest step ended in.
    """

    name: str
    bounds: Bounds
    calls: list[Call] = field(default_factory=list)
    seen: list[Answer] = field(default_factory=list)
    asked: str | None = None
    error: str | None = None

    def take(self, value: Any) -> None:
        """Add the answers in a value of the state, or in something that was written to it."""
        for nested in answers_within(value, self.bounds):
            for place, known in enumerate(self.seen):
                if _same(nested.answer, known):
                    self.seen[place] = known if known.message is not None else nested.answer
                    break
            else:
                self.seen.append(nested.answer)
                self.calls.append(call_of(nested.payloads[0], KEPT))


def _same(one: Answer, other: Answer) -> bool:
    """Tell whether two answers are one. A message gets its id only after it was written, when it is in the state."""
    if one.message is not None and other.message is not None:
        return one.message == other.message
    return bool(one.length) and one.same(other)


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    with database(source) as file:
        for (name,) in file.rows(_THREADS):
            thread = _Thread(str(name), source.bounds)
            where = f"{source.label}, thread {name}"
            branch = _branch(file, name)
            for place, _ in branch:
                try:
                    _take(thread, file, place)
                except ODD as error:
                    trouble(f"{where}, checkpoint {place[2]}", f"cannot be read ({type(error).__name__}: {error})")
            if thread.error is not None:
                trouble(where, f"ended in an error ({thread.error}), so it is no candidate")
            elif not thread.calls:
                hint = "ask the model for them, and let the messages keep their response_metadata"
                trouble(where, f"has no answers with logprobs; {hint}")
            else:
                record = {**(branch[-1][1]), "thread_id": thread.name}
                yield Found(thread.name, Trajectory(thread.calls), asked=thread.asked, record=record)


def _branch(file: OtherDatabase, thread: str) -> list[tuple[_Place, dict[str, Any]]]:
    """Return the checkpoints of a thread that led to its latest one, with their metadata, in the order of time."""
    rows = list(file.rows(_CHECKPOINTS, (thread,)))
    about = {(ns, name): (parent, _metadata(metadata)) for ns, name, parent, metadata in rows}
    kept: set[tuple[str, str]] = set()
    namespaces = dict.fromkeys(ns for ns, *_ in rows)
    for ns in sorted(namespaces, key=len):  # the thread's own comes first
        own = [name for other, name, *_ in rows if other == ns and _within(about[ns, name][1], kept)]
        name = own[-1] if own else None
        while name is not None and (ns, name) in about and (ns, name) not in kept:
            kept.add((ns, name))
            name = about[ns, name][0]
    return [((thread, ns, name), about[ns, name][1]) for ns, name, *_ in rows if (ns, name) in kept]


def _within(metadata: dict[str, Any], kept: set[tuple[str, str]]) -> bool:
    """Tell whether the checkpoint of the graph around was kept, for a checkpoint of a subgraph."""
    parents = metadata.get("parents")
    return not isinstance(parents, dict) or all(each in kept for each in parents.items())


def _metadata(data: Any) -> dict[str, Any]:
    try:
        told = json.loads(data or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _take(thread: _Thread, file: OtherDatabase, place: _Place) -> None:
    for kind, data in file.rows(_STATE, place):
        state = get(plain_value(kind, data), "channel_values") or {}
        if thread.asked is None and place[1] == "":
            thread.asked = asked_of(state)
        for value in state.values():
            thread.take(value)
    thread.error = thread.error if place[1] else None
    for channel, kind, data in file.rows(_WRITES, place):
        if channel == "__error__" and not place[1]:
            thread.error = " ".join(str(plain_value(kind, data)).split())[:80]
        elif not channel.startswith("__"):
            thread.take(plain_value(kind, data))


def _knows(source: Source) -> bool:
    tables = tables_of(source)
    return "channel" in tables.get("writes", ()) and "checkpoint_ns" in tables.get("checkpoints", ())


READER = Reader(
    knows=_knows,
    read=_read,
)
