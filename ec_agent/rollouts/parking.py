"""Where a rollout that stopped is kept until it goes on: on a thread of its own in the run's checkpointer.

A rollout runs on a saver in memory that serialises nothing and is written once, when the rollout ends. Only one that
stopped where it may go on, at an interrupt or at an action to be carried out, is parked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent.errors import CommitError
from ec_agent.insides.langgraph import INTERRUPT
from ec_agent.rollouts.messages import private_copy, rebuilt, without_logprobs
from ec_agent.rollouts.untracked import Sieve
from ec_agent.support.plans import Plan, Step, call, drive

# What a task that did not come to its end leaves among its writes.
UNFINISHED = (INTERRUPT, "__error__", "__resume__")
_WITHIN = "ec_agent_within:"


class AsIs:
    """A serialiser that copies lists and dicts, which LangGraph changes after it gave them away, and no more."""

    def dumps_typed(self, obj: Any) -> tuple[str, Any]:
        """The object, with lists and dicts of its own."""
        return "as is", _structure(obj)

    def loads_typed(self, data: tuple[str, Any]) -> Any:
        """Another such object."""
        return _structure(data[1])


def _structure(value: Any) -> Any:
    if type(value) is dict:
        return {key: _structure(item) for key, item in value.items()}
    return [_structure(item) for item in value] if type(value) is list else value


def memory_saver() -> InMemorySaver:
    """The saver a rollout runs on."""
    return InMemorySaver(serde=AsIs())


def finished_in(memory: InMemorySaver, thread: str, keys: Collection[str]) -> dict[str, list[tuple[str, Any]]]:
    """What the tasks wrote to these keys that were done when the rollout stopped beside them.

    When it goes on, its stream says that they start, and no more.
    """
    found = memory.get_tuple({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})
    done: dict[str, list[tuple[str, Any]]] = {}
    for task, channel, value in (found.pending_writes if found is not None else None) or []:
        if channel not in UNFINISHED:
            wrote = done.setdefault(task, [])
            wrote += [(channel, value)] if channel in keys else []
    return done


def nested_states(memory: InMemorySaver, thread: str) -> list[Any]:
    """What the rollout's nested graphs have in their states so far, in the order in which they got there.

    Rollouts of a question within are left out: they are on record there.
    """
    found: dict[str, CheckpointTuple] = {}
    for each in memory.list({"configurable": {"thread_id": thread}}):  # the newest first
        found.setdefault(each.config["configurable"].get("checkpoint_ns", ""), each)
    tuples = [each for namespace, each in reversed(found.items()) if namespace and not _is_ours(each)]
    return [part for each in tuples for part in (each.checkpoint["channel_values"], each.pending_writes)]


def _is_ours(found: CheckpointTuple) -> bool:
    return {"records", "course"} <= set(found.checkpoint["channel_versions"])


class Parking:
    """The parked rollouts of one question.

    Args:
        saver: the run's checkpointer; without one they last as long as this object.
        logprobs: whether messages keep their logprobs.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any] | None, logprobs: bool = False) -> None:
        self._saver = saver
        self._logprobs = logprobs
        self._here: dict[str, list[CheckpointTuple]] = {}

    def park(self, thread: str, memory: InMemorySaver, own: str, sieve: Sieve) -> Plan[None]:
        """Keep what a rollout, on its ``own`` thread, left in its saver, as a rule less the logprobs.

        The sieve takes out what its agent keeps out of checkpoints.
        """
        inner = memory_saver()
        # Those of other threads are of rollouts within this one, parked in its saver.
        left = [sieve.sifted(found) if _thread(found) == own else found for found in memory.list(None)][::-1]
        drive(copied(left if self._logprobs else [_bare(found) for found in left], inner, thread, within=own))
        self._here[thread] = tuples = list(reversed(list(inner.list(None))))
        if self._saver is not None:
            yield from self.clear([thread], forget=False)
            yield from copied(tuples, self._saver, _named(thread))

    def found(self, parked: str) -> Plan[list[CheckpointTuple]]:
        """What is parked on a thread, oldest first; nothing if it is gone."""
        if parked not in self._here and self._saver is not None:
            where: RunnableConfig = {"configurable": {"thread_id": _named(parked)}}
            self._here[parked] = list(reversed((yield listed(self._saver, where))))
        return self._here.get(parked, [])

    def fetch(self, parked: str, thread: str, memory: InMemorySaver) -> Plan[None]:
        """Put a parked rollout into a saver, for another thread.

        Raises:
            CommitError: it is gone.
        """
        if not (tuples := (yield from self.found(parked))):
            raise CommitError(f"the stopped rollout (thread {parked!r}) is no longer in the checkpointer; begin anew")
        own = [found._replace(checkpoint=private_copy(found.checkpoint, "the state")) for found in tuples]
        drive(copied(own, memory, thread, unpack=True))

    def clear_all(self, but: str | None) -> Plan[None]:
        """Forget every rollout that was parked here and now, ``but`` this one."""
        yield from self.clear([thread for thread in self._here if thread != but])

    @property
    def lasting(self) -> bool:
        """Whether what is parked is kept in a checkpointer."""
        return self._saver is not None

    def clear(self, threads: Iterable[str], *, forget: bool = True) -> Plan[None]:
        """Forget rollouts that will not go on."""
        for thread in threads:
            if forget:
                self._here.pop(thread, None)
            if self._saver is not None:
                try:
                    yield call(self._saver, "delete_thread", _named(thread))
                except NotImplementedError:  # a saver that cannot delete keeps them
                    return


def _named(thread: str) -> str:
    """The thread's id in the checkpointer: some take nothing but UUIDs."""
    return str(uuid5(NAMESPACE_URL, thread))


def _thread(found: CheckpointTuple) -> str:
    return str(found.config["configurable"]["thread_id"])


def _bare(found: CheckpointTuple) -> CheckpointTuple:
    values = rebuilt(dict(found.checkpoint["channel_values"]), without_logprobs)
    writes = [(task, channel, rebuilt(value, without_logprobs)) for task, channel, value in found.pending_writes or []]
    return found._replace(checkpoint={**found.checkpoint, "channel_values": values}, pending_writes=writes)


def listed(saver: BaseCheckpointSaver[Any], where: RunnableConfig, **more: Any) -> Step:
    """Checkpoints of a thread, newest first."""

    async def wait() -> list[CheckpointTuple]:
        return [found async for found in saver.alist(where, **more)]

    return Step(lambda: list(saver.list(where, **more)), wait)


def copied(
    tuples: Sequence[CheckpointTuple],
    saver: BaseCheckpointSaver[Any],
    thread: str,
    config: RunnableConfig | None = None,
    *,
    within: str | None = None,
    unpack: bool = False,
) -> Plan[None]:
    """Copy checkpoints to a thread, with what is in the config besides.

    With ``within``, those of other threads than that one go into namespaces of it; with ``unpack``, back to threads.
    """
    for found in tuples:
        own, namespace = (found.config["configurable"].get(name, "") for name in ("thread_id", "checkpoint_ns"))
        above = {"thread_id": thread, "checkpoint_ns": namespace}
        if within is not None and own != within:  # of rollouts within this one, parked in its saver
            above["checkpoint_ns"] = f"{_WITHIN}{own}/{namespace}"
        elif unpack and namespace.startswith(_WITHIN):
            above["thread_id"], _, above["checkpoint_ns"] = namespace.removeprefix(_WITHIN).partition("/")
        if found.parent_config is not None:
            above["checkpoint_id"] = found.parent_config["configurable"]["checkpoint_id"]
        versions = found.checkpoint["channel_versions"]
        yield call(saver, "put", {**(config or {}), "configurable": above}, found.checkpoint, found.metadata, versions)
        place = {"configurable": {**above, "checkpoint_id": found.checkpoint["id"]}}
        by_task: dict[str, list[tuple[str, Any]]] = {}
        for task, channel, value in found.pending_writes or []:
            by_task.setdefault(task, []).append((channel, value))
        for task, writes in by_task.items():
            yield call(saver, "put_writes", place, writes, task)
