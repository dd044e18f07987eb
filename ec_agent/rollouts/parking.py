"""Park a rollout that stopped until it goes on: store its checkpoints on a thread of its own in the run's checkpointer.

A rollout runs on a saver in memory that serialises nothing and is written only when the rollout ends. It is parked only
if it may go on: at an interrupt, or at an action that is to be carried out.
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
from ec_agent.rollouts.untracked_values import Sieve
from ec_agent.support.plans import Plan, Step, call, drive

# The channels to which an unfinished task writes. A task with other writes has finished.
UNFINISHED = (INTERRUPT, "__error__", "__resume__")
_WITHIN = "ec_agent_within:"


class AsIs:
    """A serialiser that keeps objects as they are and copies only lists and dicts.

    These must be copied, because LangGraph changes them after it has saved them.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, Any]:
        """Return the object, with its lists and dicts copied."""
        return "as is", _structure(obj)

    def loads_typed(self, data: tuple[str, Any]) -> Any:
        """Return another copy of that kind."""
        return _structure(data[1])


def _structure(value: Any) -> Any:
    if type(value) is dict:
        return {key: _structure(item) for key, item in value.items()}
    return [_structure(item) for item in value] if type(value) is list else value


def memory_saver() -> InMemorySaver:
    """Return a new saver for a rollout: in memory, and without serialisation."""
    return InMemorySaver(serde=AsIs())


def finished_in(memory: InMemorySaver, thread: str, keys: Collection[str]) -> dict[str, list[tuple[str, Any]]]:
    """Return the writes, to these keys, of tasks that were finished when the rollout stopped in their step, by task id.

    A resumed run does not run these tasks again. Its stream shows that they start, but not what they wrote.
    """
    found = memory.get_tuple({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})
    done: dict[str, list[tuple[str, Any]]] = {}
    for task, channel, value in (found.pending_writes if found is not None else None) or []:
        if channel not in UNFINISHED:
            wrote = done.setdefault(task, [])
            wrote += [(channel, value)] if channel in keys else []
    return done


def nested_states(memory: InMemorySaver, thread: str) -> list[Any]:
    """Return the states and pending writes of the rollout's nested graphs, the oldest first.

    The graphs of an inner ``best_of_n`` are left out: its own records have their calls.
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
        saver: the run's checkpointer; ``None`` keeps them in this object only.
        logprobs: whether parked messages keep their logprobs, which make checkpoints much larger.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any] | None, logprobs: bool = False) -> None:
        self._saver = saver
        self._logprobs = logprobs
        self._here: dict[str, list[CheckpointTuple]] = {}

    def park(self, thread: str, memory: InMemorySaver, own: str, sieve: Sieve) -> Plan[None]:
        """Park a rollout: store what it left in its saver, without untracked values and, as a rule, without logprobs.

        Args:
            thread: the thread to park it on.
            memory: the rollout's saver.
            own: the rollout's thread id in that saver.
            sieve: removes the untracked values.
        """
        inner = memory_saver()
        # Checkpoints of other threads belong to an inner best_of_n, which parks its rollouts in this rollout's saver.
        left = [sieve.sifted(found) if _thread(found) == own else found for found in memory.list(None)][::-1]
        drive(copied(left if self._logprobs else [_bare(found) for found in left], inner, thread, within=own))
        yield from self.put(thread, list(reversed(list(inner.list(None)))))

    def put(self, thread: str, tuples: list[CheckpointTuple]) -> Plan[None]:
        """Store checkpoints, oldest first, as those of a rollout that is parked on a thread."""
        self._here[thread] = tuples
        if self._saver is not None:
            yield from self.clear([thread], forget=False)
            yield from copied(tuples, self._saver, _named(thread))

    def found(self, parked: str) -> Plan[list[CheckpointTuple]]:
        """Return the checkpoints parked on a thread, oldest first; none if they were deleted."""
        if parked not in self._here and self._saver is not None:
            where: RunnableConfig = {"configurable": {"thread_id": _named(parked)}}
            self._here[parked] = list(reversed((yield listed(self._saver, where))))
        return self._here.get(parked, [])

    def fetch(self, parked: str, thread: str, memory: InMemorySaver) -> Plan[None]:
        """Copy a parked rollout into the saver of the rollout that goes on from it.

        Raises:
            CommitError: the checkpointer no longer has it.
        """
        if not (tuples := (yield from self.found(parked))):
            raise CommitError(
                f"the stopped rollout (thread {parked!r}) is no longer in the checkpointer, so it cannot go on; ask "
                "the question again"
            )
        own = [found._replace(checkpoint=private_copy(found.checkpoint, "the state")) for found in tuples]
        drive(copied(own, memory, thread, unpack=True))

    def clear_all(self, but: str | None) -> Plan[None]:
        """Delete every rollout that was parked or fetched by this object, except the one on thread ``but``."""
        yield from self.clear([thread for thread in self._here if thread != but])

    @property
    def lasting(self) -> bool:
        """Whether parked rollouts are stored in a checkpointer, and so outlast this object."""
        return self._saver is not None

    def clear(self, threads: Iterable[str], *, forget: bool = True) -> Plan[None]:
        """Delete parked rollouts that will not go on. ``forget=False`` keeps them in memory."""
        for thread in threads:
            if forget:
                self._here.pop(thread, None)
            if self._saver is not None:
                try:
                    yield call(self._saver, "delete_thread", _named(thread))
                except NotImplementedError:  # this kind of saver cannot delete threads: they stay
                    return


def _named(thread: str) -> str:
    """Return the thread's id in the checkpointer. It is a UUID, since some checkpointers take no other ids."""
    return str(uuid5(NAMESPACE_URL, thread))


def _thread(found: CheckpointTuple) -> str:
    return str(found.config["configurable"]["thread_id"])


def _bare(found: CheckpointTuple) -> CheckpointTuple:
    values = rebuilt(dict(found.checkpoint["channel_values"]), without_logprobs)
    writes = [(task, channel, rebuilt(value, without_logprobs)) for task, channel, value in found.pending_writes or []]
    return found._replace(checkpoint={**found.checkpoint, "channel_values": values}, pending_writes=writes)


def listed(saver: BaseCheckpointSaver[Any], where: RunnableConfig, **more: Any) -> Step:
    """Return the step that lists the checkpoints of a thread, newest first."""

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
    """Copy checkpoints into a saver, onto a thread.

    Args:
        tuples: the checkpoints, the oldest first.
        saver: where they go.
        thread: the thread they go to.
        config: further entries for the config of each write, such as metadata.
        within: the thread whose checkpoints keep their namespaces. Those of other threads, which an inner
            ``best_of_n`` has parked, are packed into special namespaces of ``thread``.
        unpack: whether to put checkpoints from such namespaces back on their own threads.
    """
    for found in tuples:
        own, namespace = (found.config["configurable"].get(name, "") for name in ("thread_id", "checkpoint_ns"))
        above = {"thread_id": thread, "checkpoint_ns": namespace}
        if within is not None and own != within:  # parked by an inner best_of_n
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
