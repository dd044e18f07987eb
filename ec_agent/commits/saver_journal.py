"""The journal of commits in a run's own checkpointer, where no other is given."""

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

# LangGraph's saver in memory looks whether a place is free and then takes it, which two threads can do at once.
_memory_lock = threading.Lock()


def _one_by_one(step: Step) -> Step:
    def sync() -> Any:
        with _memory_lock:
            return step.sync()

    async def wait() -> Any:
        return sync()  # there is nothing to wait for

    return Step(sync, wait)


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, EcAgentError):
        raise
    except Exception as error:
        raise JournalError(
            f"the checkpointer, which keeps the journal of commits, failed ({type(error).__name__}: {error}); see "
            "that it can be read and written, then resume the run"
        ) from error


def entries_of(found: CheckpointTuple | None) -> list[Entry]:
    """The attempts at one action, as a checkpointer has them."""
    written = {(task, channel): value for task, channel, value in (found.pending_writes if found else None) or []}
    entries: list[Entry] = []
    while (intent := written.get((f"intent {len(entries)}", "intent"))) is not None:
        entries.append(Entry(intent, written.get((f"outcome {len(entries)}", "outcome"))))
    return entries


IN_SAVER = "ec_agent_commit:"
"""What the namespaces of commits in a checkpointer begin with."""


class SaverJournal:
    """A journal in the run's own checkpointer, in a namespace beside the graph's.

    Of two writes to one place a saver keeps the first, which makes a claim the first one's.

    Args:
        saver: the checkpointer.
        thread_id: the thread whose commits these are; deleting it deletes them too.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any], thread_id: str) -> None:
        rather = "a checkpointer: InMemorySaver(), SqliteSaver(...)"
        self._saver: BaseCheckpointSaver[Any] = instance("saver", saver, BaseCheckpointSaver, rather)
        self._thread = text("thread_id", thread_id, "the thread's id, as text")

    def _place(self, key: str) -> dict[str, Any]:
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, key))
        where = {"thread_id": self._thread, "checkpoint_ns": f"{IN_SAVER}{name}", "checkpoint_id": name}
        return {"configurable": where}

    def _asked(self, name: str, *args: Any) -> Step:
        """A call of the saver, whose own errors are ours; those of values that it cannot keep are the caller's."""
        step = call(self._saver, name, *args)
        if isinstance(self._saver, InMemorySaver) and name == "put_writes":
            step = _one_by_one(step)

        def sync() -> Any:
            with _said():
                return step.sync()

        async def wait() -> Any:
            with _said():
                return await step.wait()

        return Step(sync, wait)

    def _read(self, key: str) -> Plan[list[Entry]]:
        check_key(key)
        found = yield self._asked("get_tuple", self._place(key))
        return entries_of(found)

    def _claim(self, key: str, attempt: int, intent: dict[str, Any]) -> Plan[bool]:
        check_entry(key, attempt, intent=intent)
        place = self._place(key)
        if attempt == 0:
            checkpoint = {**empty_checkpoint(), "id": place["configurable"]["checkpoint_id"]}
            above = {"configurable": {k: v for k, v in place["configurable"].items() if k != "checkpoint_id"}}
            yield self._asked("put", above, checkpoint, {"source": "update", "step": 0}, {})
        yield self._asked("put_writes", place, [("intent", intent)], f"intent {attempt}")
        entries = yield from self._read(key)
        if len(entries) <= attempt:
            raise JournalError(
                "the checkpointer, which keeps the journal of commits, has lost what was just written there; see that "
                "the thread is not deleted while it runs"
            )
        return bool(entries[attempt].intent.get("by") == intent.get("by"))

    def _note(self, key: str, attempt: int, outcome: dict[str, Any]) -> Plan[None]:
        check_entry(key, attempt, outcome=outcome)
        yield self._asked("put_writes", self._place(key), [("outcome", outcome)], f"outcome {attempt}")

    def read(self, key: str) -> list[Entry]:
        """All attempts so far."""
        return drive(self._read(key))

    def claim(self, key: str, attempt: int, intent: dict[str, Any]) -> bool:
        """Write an intent down; whether this claim is the one that stands."""
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
    """The journal of a run: the one that was given, else its checkpointer, else one in memory."""
    saver, thread = saver_of(config), (config.get("configurable") or {}).get("thread_id")
    if given is not None or saver is None or thread is None:
        return given or memory
    return SaverJournal(saver, str(thread))
