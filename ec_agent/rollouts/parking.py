"""Where a rollout that stopped is kept until it goes on: on a thread of its own in the run's checkpointer.

A rollout runs on a saver in memory that serialises nothing and is written once, when the rollout ends. Only one that
stopped where it may go on, at an interrupt or at an action to be carried out, is parked.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent.errors import CommitError, DurabilityWarning
from ec_agent.plans import Plan, Step, call, drive, pause
from ec_agent.rollouts.internals import CHECKPOINTER, DURABILITY
from ec_agent.rollouts.messages import private_copy, rebuilt, without_logprobs

_PATIENCE = 100


class _AsIs:
    """A serialiser that does nothing."""

    def dumps_typed(self, obj: Any) -> tuple[str, Any]:
        return "as is", obj

    def loads_typed(self, data: tuple[str, Any]) -> Any:
        return data[1]


def memory_saver() -> InMemorySaver:
    """The saver a rollout runs on."""
    return InMemorySaver(serde=_AsIs())


def saver_of(config: Mapping[str, Any]) -> BaseCheckpointSaver[Any] | None:
    """The checkpointer of the run this config belongs to."""
    saver = (config.get("configurable") or {}).get(CHECKPOINTER)
    return saver if isinstance(saver, BaseCheckpointSaver) else None


class Parking:
    """The parked rollouts of one question.

    Args:
        saver: the run's checkpointer; without one they last as long as this object.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any] | None) -> None:
        self._saver = saver
        self._here: dict[str, list[CheckpointTuple]] = {}

    def park(self, thread: str, memory: InMemorySaver) -> Plan[None]:
        """Keep what a rollout left in its saver, less the logprobs."""
        tuples = [_bare(found) for found in reversed(list(memory.list(None)))]
        self._here[thread] = tuples
        if self._saver is not None:
            yield from self.clear([thread], forget=False)
            yield from _copied(tuples, self._saver, _named(thread))

    def fetch(self, parked: str, thread: str) -> Plan[InMemorySaver]:
        """A parked rollout on a fresh saver, for another thread.

        Raises:
            CommitError: it is gone.
        """
        tuples = self._here.get(parked)
        if tuples is None and self._saver is not None:
            saver, where = self._saver, {"configurable": {"thread_id": _named(parked)}}

            async def listed() -> list[CheckpointTuple]:
                return [found async for found in saver.alist(where)]  # type: ignore[arg-type]

            found = yield Step(lambda: list(saver.list(where)), listed)  # type: ignore[arg-type]
            self._here[parked] = tuples = list(reversed(found))
        if not tuples:
            raise CommitError(f"the stopped rollout (thread {parked!r}) is no longer in the checkpointer; begin anew")
        memory = memory_saver()
        own = [found._replace(checkpoint=private_copy(found.checkpoint, "the state")) for found in tuples]
        drive(_copied(own, memory, thread))
        return memory

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


def _bare(found: CheckpointTuple) -> CheckpointTuple:
    values = rebuilt(dict(found.checkpoint["channel_values"]), without_logprobs)
    writes = [(task, channel, rebuilt(value, without_logprobs)) for task, channel, value in found.pending_writes or []]
    return found._replace(checkpoint={**found.checkpoint, "channel_values": values}, pending_writes=writes)


def _copied(tuples: Sequence[CheckpointTuple], saver: BaseCheckpointSaver[Any], thread: str) -> Plan[None]:
    for found in tuples:
        namespace = found.config["configurable"].get("checkpoint_ns", "")
        above = {"thread_id": thread, "checkpoint_ns": namespace}
        if found.parent_config is not None:
            above["checkpoint_id"] = found.parent_config["configurable"]["checkpoint_id"]
        versions = found.checkpoint["channel_versions"]
        yield call(saver, "put", {"configurable": above}, found.checkpoint, found.metadata, versions)
        place = {"configurable": {**above, "checkpoint_id": found.checkpoint["id"]}}
        by_task: dict[str, list[tuple[str, Any]]] = {}
        for task, channel, value in found.pending_writes or []:
            by_task.setdefault(task, []).append((channel, value))
        for task, writes in by_task.items():
            yield call(saver, "put_writes", place, writes, task)


def written_down(config: Mapping[str, Any]) -> Plan[None]:
    """Wait until the decision taken in this task would survive a kill.

    With durability "async" the checkpoints of the steps that led here may still be on their way.

    Raises:
        CommitError: they do not arrive.
    """
    saver, conf = saver_of(config), config.get("configurable") or {}
    if saver is None or conf.get(DURABILITY) == "exit":
        return
    for namespace, checkpoint in dict(conf.get("checkpoint_map") or {}).items():
        place = {
            "configurable": {
                "thread_id": conf.get("thread_id"),
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint,
            }
        }
        for _ in range(_PATIENCE):
            if (yield call(saver, "get_tuple", place)) is not None:
                break
            yield pause(0.05)
        else:
            raise CommitError(
                f"the checkpoint {checkpoint} of thread {conf.get('thread_id')!r} was not written, so nothing was "
                "carried out; see why the checkpointer does not write"
            )


def warn_of_exit(config: Mapping[str, Any], commits: bool) -> None:
    """Say what durability "exit" gives up."""
    conf = config.get("configurable") or {}
    if saver_of(config) is not None and conf.get(DURABILITY) == "exit":
        lost = "a kill loses every rollout" + (", and a resumed run may commit again" if commits else "")
        warnings.warn(
            f'durability="exit" writes nothing before the run ends: {lost}; run with durability="sync" or "async"',
            DurabilityWarning,
            stacklevel=2,
        )
