"""The journal of commits that lives in the run's checkpointer: the default where ``journal=`` is not given."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent.commits.journal import Entry, Journal, MemoryJournal, check_entry, check_key
from ec_agent.errors import EcAgentError, JournalError
from ec_agent.insides.langgraph import saver_of
from ec_agent.support.checks import instance, text
from ec_agent.support.plans import Plan, Step, adrive, call, drive

# InMemorySaver first checks whether a write exists and then stores it, without a lock: two threads could both claim.
_memory_lock = threading.Lock()


def _one_by_one(step: Step) -> Step:
    def sync() -> Any:
        with _memory_lock:
            return step.sync()

    async def wait() -> Any:
        return sync()  # a saver in memory never blocks

    return Step(sync, wait)


@contextmanager
def _as_journal_errors() -> Iterator[None]:
    """Turn the checkpointer's own errors into ``JournalError``; errors about the caller's values pass unchanged."""
    try:
        yield
    except (TypeError, ValueError, EcAgentError):
        raise
    except Exception as error:
        raise JournalError(
            f"the checkpointer, which keeps the journal of commits, failed ({type(error).__name__}: {error}); check "
            "that it can be read and written, then resume the run"
        ) from error


def entries_of(found: CheckpointTuple | None) -> list[Entry]:
    """Read the attempts at one action from a checkpoint's pending writes, where ``SaverJournal`` keeps them."""
    written = {(task, channel): value for task, channel, value in (found.pending_writes if found else None) or []}
    entries: list[Entry] = []
    while (intent := written.get((f"intent {len(entries)}", "intent"))) is not None:
        entries.append(Entry(intent, written.get((f"outcome {len(entries)}", "outcome"))))
    return entries


IN_SAVER = "ec_agent_commit:"
"""Prefix of the checkpoint namespaces in which ``SaverJournal`` keeps commits."""


class SaverJournal:
    """A journal in the run's own checkpointer, in a namespace beside the graph's.

    A checkpointer keeps the first of two writes to one place. So where two workers claim one action, the first wins.

    Args:
        saver: the checkpointer.
        thread_id: the thread whose commits the journal keeps. Deleting the thread deletes them too.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any], thread_id: str) -> None:
        rather = "a checkpointer: InMemorySaver(), SqliteSaver(...)"
        self._saver: BaseCheckpointSaver[Any] = instance("saver", saver, BaseCheckpointSaver, rather)
        self._thread = text("thread_id", thread_id, "the thread's id, as text")

    def _place(self, key: str) -> dict[str, Any]:
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, key))  # some checkpointers take only UUIDs as checkpoint ids
        where = {"thread_id": self._thread, "checkpoint_ns": f"{IN_SAVER}{name}", "checkpoint_id": name}
        return {"configurable": where}

    def _asked(self, name: str, *args: Any) -> Step:
        """Call a method of the checkpointer. Its failures become ``JournalError``."""
        step = call(self._saver, name, *args)
        if isinstance(self._saver, InMemorySaver) and name == "put_writes":
            step = _one_by_one(step)

        def sync() -> Any:
            with _as_journal_errors():
                return step.sync()

        async def wait() -> Any:
            with _as_journal_errors():
                return await step.wait()

        return Step(sync, wait)

    def _read(self, key: str) -> Plan[list[Entry]]:
        check_key(key)
        found = yield self._asked("get_tuple", self._place(key))
        return entries_of(found)

    def _claim(self, key: str, attempt: int, intent: dict[str, Any]) -> Plan[bool]:
        check_entry(key, attempt, intent=intent)
        place = self._place(key)
        if attempt == 0:  # writes need a checkpoint that they belong to
            checkpoint = {**empty_checkpoint(), "id": place["configurable"]["checkpoint_id"]}
            above = {"configurable": {k: v for k, v in place["configurable"].items() if k != "checkpoint_id"}}
            yield self._asked("put", above, checkpoint, {"source": "update", "step": 0}, {})
        yield self._asked("put_writes", place, [("intent", intent)], f"intent {attempt}")
        entries = yield from self._read(key)
        if len(entries) <= attempt:
            raise JournalError(
                "the checkpointer, which keeps the journal of commits, has lost what was just written there; make sure "
                "that the thread is not deleted while it runs"
            )
        return bool(entries[attempt].intent.get("by") == intent.get("by"))

    def _note(self, key: str, attempt: int, outcome: dict[str, Any]) -> Plan[None]:
        check_entry(key, attempt, outcome=outcome)
        yield self._asked("put_writes", self._place(key), [("outcome", outcome)], f"outcome {attempt}")

    def read(self, key: str) -> list[Entry]:
        """Return all attempts under this key so far."""
        return drive(self._read(key))

    def claim(self, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """Write an intent down. Return whether this claim won, rather than another worker's."""
        return drive(self._claim(key, attempt, intent))

    def note(self, key: str, attempt: int, outcome: dict[str, Any]) -> None:
        """Write the outcome of an attempt down."""
        drive(self._note(key, attempt, outcome))

    async def aread(self, key: str) -> list[Entry]:
        """The async twin of ``read``."""
        return await adrive(self._read(key))

    async def aclaim(self, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """The async twin of ``claim``."""
        return await adrive(self._claim(key, attempt, intent))

    async def anote(self, key: str, attempt: int, outcome: dict[str, Any]) -> None:
        """The async twin of ``note``."""
        await adrive(self._note(key, attempt, outcome))


def journal_for(given: Journal | None, config: Mapping[str, Any], memory: MemoryJournal) -> Journal:
    """Return the journal of a run: the one that was given, else one in its checkpointer, else one in memory."""
    saver, thread = saver_of(config), (config.get("configurable") or {}).get("thread_id")
    if given is not None or saver is None or thread is None:
        return given or memory
    return SaverJournal(saver, str(thread))
