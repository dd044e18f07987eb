"""Let an agent remember from turn to turn: every rollout reads its memory, and only the winner's changes are kept.

LangGraph keeps the state of a subgraph compiled with ``checkpointer=True`` over the turns of a thread, in a checkpoint
namespace without task ids; an entrypoint's ``previous`` is such a state. A rollout runs on a thread of its own. So its
saver reads the memory from the user's thread, where the agent would find it without ``best_of_n``. What the rollout
writes to its memory is parked beside its record. Once a winner is chosen and has acted, its memory is copied to the
user's thread. Until then the user's thread stays as it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent.errors import MemoryWarning
from ec_agent.insides.langgraph import BOX_NODE, DELTAS, PREVIOUS, REPLAY, graph_called_by, lasting, saver_of
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.messages import private_copy
from ec_agent.rollouts.parking import AsIs, Parking, copied, listed, memory_saver
from ec_agent.rollouts.record import End
from ec_agent.support.plans import Plan, adrive, call, drive


@dataclass(frozen=True, slots=True)
class Memory:
    """Where the agent of one question keeps its memory: the place it would use without ``best_of_n``.

    Attributes:
        saver: the run's checkpointer.
        thread: the run's thread id.
        place: the checkpoint namespace that the agent would have.
        boxed: whether the agent is a function, which runs in a graph of ours, the box.
        root: whether the agent's own state lasts over turns, and not only that of its subgraphs.
        before: id of the checkpoint from which the run was started, if it goes back in time: memory that was written
            later must not be read.
    """

    saver: BaseCheckpointSaver[Any]
    thread: str
    place: str
    boxed: bool
    root: bool
    before: str | None = None

    def lasts(self, namespace: str) -> bool:
        """Whether the next turn will read what a rollout writes in this namespace."""
        return lasting(namespace) == namespace and (namespace != "" or self.root)

    def where(self, namespace: str) -> RunnableConfig:
        """Translate a namespace of the rollout's thread into the place in the run's thread, as a config."""
        within = namespace.removeprefix(BOX_NODE).removeprefix("|") if self.boxed else namespace
        there = "|".join(filter(None, (self.place, within)))
        return {"configurable": {"thread_id": self.thread, "checkpoint_ns": there}}

    def read(self, namespace: str) -> Plan[list[CheckpointTuple]]:
        """Return what earlier turns left in a namespace, oldest first.

        That is one checkpoint; or several, where the last holds only differences to those before it.
        """
        where, found = self.where(namespace), None
        if self.before is not None:
            earlier: RunnableConfig = {"configurable": {"checkpoint_id": self.before}}
            found = next(iter((yield listed(self.saver, where, before=earlier, limit=1))), None)
        else:
            found = yield call(self.saver, "get_tuple", where)
        if found is None and self.boxed and namespace == BOX_NODE:
            return (yield from self._begun_alone())
        if found is None or not (found.metadata or {}).get(DELTAS):
            return [found] if found is not None else []
        last = found.checkpoint["id"]
        return [each for each in reversed((yield listed(self.saver, where))) if each.checkpoint["id"] <= last]

    def _begun_alone(self) -> Plan[list[CheckpointTuple]]:
        """Return the memory of an entrypoint that ran on this thread before without ``best_of_n``."""
        where: RunnableConfig = {"configurable": {"thread_id": self.thread, "checkpoint_ns": ""}}
        earlier: Any = None if self.before is None else {"configurable": {"checkpoint_id": self.before}}
        tuples = yield listed(self.saver, where, before=earlier)
        return [found for found in tuples if PREVIOUS in found.checkpoint["channel_values"]][:1]

    def keep(self, tuples: Sequence[CheckpointTuple], config: RunnableConfig) -> Plan[None]:
        """Copy the winner's memory to the run's thread. A resumed run may repeat that: it changes nothing more."""
        conf = config.get("configurable") or {}
        for found in tuples:
            where = self.where(found.config["configurable"]["checkpoint_ns"])
            there = yield call(self.saver, "get_tuple", where)
            if there is not None and there.checkpoint["id"] >= found.checkpoint["id"]:
                continue
            metadata: Any = {key: value for key, value in found.metadata.items() if key in ("source", "step", DELTAS)}
            metadata["parents"] = dict(conf.get("checkpoint_map") or {})
            yield from copied(
                [found._replace(config=where, parent_config=there and there.config, metadata=metadata)],
                self.saver,
                self.thread,
                {"metadata": config.get("metadata") or {}},
            )


class RecallingSaver(InMemorySaver):
    """A rollout's saver: it is in memory, but reads the agent's memory of earlier turns from the run's checkpointer.

    Attributes:
        recalled: ids of the checkpoints that were read there.
    """

    def __init__(self, memory: Memory, thread: str, serde: Any = None) -> None:
        super().__init__(serde=serde)
        self._memory, self._thread = memory, thread
        self.recalled: set[str] = set()

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Return the next version of a channel, as the run's checkpointer would: versions of both are compared."""
        return self._memory.saver.get_next_version(current, channel)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, as any saver does, after reading the agent's memory if it lies there."""
        drive(self._recall(config["configurable"]))
        return super().get_tuple(config)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The async twin of ``get_tuple``."""
        await adrive(self._recall(config["configurable"]))
        return super().get_tuple(config)

    def _recall(self, conf: Mapping[str, Any]) -> Plan[None]:
        thread, namespace = conf["thread_id"], conf.get("checkpoint_ns", "")
        if thread != self._thread or not self._memory.lasts(namespace) or self.storage[thread][namespace]:
            return
        found = yield from self._memory.read(namespace)
        self.recalled |= {each.checkpoint["id"] for each in found}
        here: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": namespace}}
        own = [each._replace(config=here, checkpoint=private_copy(each.checkpoint)) for each in found]
        drive(copied(own, self, thread))

    def left(self) -> dict[str, list[CheckpointTuple]]:
        """Return what the rollout wrote to the agent's memory, by namespace, oldest first."""
        found: dict[str, list[CheckpointTuple]] = {}
        for namespace in [name for name, kept in self.storage[self._thread].items() if kept]:
            if self._memory.lasts(namespace):
                where: RunnableConfig = {"configurable": {"thread_id": self._thread, "checkpoint_ns": namespace}}
                new = [each for each in self.list(where) if each.checkpoint["id"] not in self.recalled]
                # The newest checkpoint is enough, unless it holds only differences to those before it.
                found[namespace] = new[::-1] if new and new[0].metadata.get(DELTAS) else new[:1]
        return {namespace: tuples for namespace, tuples in found.items() if tuples}


def memory_of(config: RunnableConfig, agent: Agent, alone: bool, number: int) -> Memory | None:
    """Return where the agent of a question keeps its memory; ``None`` where the run has no checkpointer.

    Args:
        config: the config of the task in which the question is asked.
        agent: the agent.
        alone: whether the outer graph is that of ``as_agent()``, which stands for the agent and keeps its state.
        number: the question's number among those asked in the task.
    """
    conf = config.get("configurable") or {}
    if (saver := saver_of(config)) is None:
        return None
    parts = lasting(str(conf.get("checkpoint_ns") or "")).split("|")
    if alone and not agent.is_function:
        parts.pop()
    if number:
        parts.append(str(number))
    before = getattr(conf.get(REPLAY), "checkpoint_id", None)
    root = agent.lasts and not agent.is_function and not alone
    return Memory(saver, str(conf.get("thread_id")), "|".join(parts), agent.is_function, root, before)


def warn_of_lost_memory(agent: Agent, config: RunnableConfig) -> None:
    """Warn where the agent is a function that calls a graph with a checkpointer: in rollouts that graph forgets."""
    if agent.has_nodes or not agent.is_function or (config.get("configurable") or {}).get("thread_id") is None:
        return
    graph = graph_called_by(agent.original)
    if isinstance(getattr(graph, "checkpointer", None), BaseCheckpointSaver):
        warnings.warn(
            f"the agent {agent.name!r} calls the graph {graph.get_name()!r}, which has a checkpointer of its own. In a "
            "rollout it runs on the rollout's own thread and remembers nothing of earlier turns. If the function names "
            "a thread itself, all rollouts write to that one. Pass the graph itself as the agent, or keep what must "
            "last in the state of the outer graph",
            MemoryWarning,
            stacklevel=2,
        )


def saver_for(memory: Memory | None, thread: str, exact: bool) -> InMemorySaver:
    """Return a new saver for a rollout. An ``exact`` one serialises values as a real checkpointer does."""
    if memory is not None:
        return RecallingSaver(memory, thread, None if exact else AsIs())
    return InMemorySaver() if exact else memory_saver()


def remembered(end: End) -> End:
    """Return the fields of a record's end that concern the agent's memory."""
    kept: End = {}
    if "memory" in end:
        kept["memory"] = end["memory"]
    if "forgotten" in end:
        kept["forgotten"] = end["forgotten"]
    return kept


def keep(memory: Memory | None, parking: Parking, end: End, config: RunnableConfig) -> Plan[None]:
    """Make the winner's memory the one that the next turn reads, and warn of graphs in it that forget this turn."""
    if memory is not None and "memory" in end:
        # If it is no longer parked, an earlier attempt of this run, killed since, has copied it already.
        yield from memory.keep((yield from parking.found(end["memory"])), config)
    if graphs := end.get("forgotten"):
        warnings.warn(
            f"{', '.join(graphs)} (compiled with checkpointer=True) stopped at a call that the outer graph carries "
            "out, so it forgets this turn: its memory stays as it was before. Set on_commit='execute' to let its step "
            "end",
            MemoryWarning,
            stacklevel=2,
        )


def named(namespace: str) -> str:
    """Return the name that errors and warnings use for the graph of a namespace."""
    inside = namespace.removeprefix(BOX_NODE).removeprefix("|") or namespace
    return f"the subgraph {inside!r}"
