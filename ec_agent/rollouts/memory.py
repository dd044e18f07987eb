"""What an agent remembers from turn to turn: each rollout finds it, and the winner's is what the next turn finds.

LangGraph keeps the state of a subgraph compiled with ``checkpointer=True``, an entrypoint's ``previous`` among it, over
the turns of a thread, in a namespace without the ids of tasks. A rollout has a thread of its own, so its saver reads
such a namespace from where the agent alone would find it, and what the rollout leaves there is laid by, beside its
record. Once all is chosen and done, the winner's is put where the agent alone would have put it; before, nobody's is.
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
    """Where the agent of one question would keep what it remembers, if it ran alone.

    Attributes:
        saver: the run's checkpointer.
        thread: the run's thread.
        place: the namespace that stands for the agent.
        boxed: whether the agent is a function, in a box of ours.
        root: whether its own state lasts, too.
        before: the checkpoint that the run goes back to, if it does: what was put down later is not known yet.
    """

    saver: BaseCheckpointSaver[Any]
    thread: str
    place: str
    boxed: bool
    root: bool
    before: str | None = None

    def lasts(self, namespace: str) -> bool:
        """Whether what a rollout has in this namespace is found by the next turn."""
        return lasting(namespace) == namespace and (namespace != "" or self.root)

    def where(self, namespace: str) -> RunnableConfig:
        """The place of a rollout's namespace in the run's thread."""
        within = namespace.removeprefix(BOX_NODE).removeprefix("|") if self.boxed else namespace
        there = "|".join(filter(None, (self.place, within)))
        return {"configurable": {"thread_id": self.thread, "checkpoint_ns": there}}

    def read(self, namespace: str) -> Plan[list[CheckpointTuple]]:
        """What earlier turns left in a namespace, oldest first: one checkpoint, or as many as it is made up of."""
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
        """What an entrypoint left on its thread when it ran there without us."""
        where: RunnableConfig = {"configurable": {"thread_id": self.thread, "checkpoint_ns": ""}}
        earlier: Any = None if self.before is None else {"configurable": {"checkpoint_id": self.before}}
        tuples = yield listed(self.saver, where, before=earlier)
        return [found for found in tuples if PREVIOUS in found.checkpoint["channel_values"]][:1]

    def keep(self, tuples: Sequence[CheckpointTuple], config: RunnableConfig) -> Plan[None]:
        """Put what the winner remembers in its place. Done again, after a kill, it changes nothing."""
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
    """The saver a rollout runs on: what lasts over turns it finds where the agent alone would.

    Attributes:
        recalled: ids of the checkpoints that it found there.
    """

    def __init__(self, memory: Memory, thread: str, serde: Any = None) -> None:
        super().__init__(serde=serde)
        self._memory, self._thread = memory, thread
        self.recalled: set[str] = set()

    def get_next_version(self, current: Any, channel: None) -> Any:
        """As the run's checkpointer counts them: versions of both are compared."""
        return self._memory.saver.get_next_version(current, channel)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As of any saver."""
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
        """What the rollout left that lasts, by namespace, oldest first."""
        found: dict[str, list[CheckpointTuple]] = {}
        for namespace in [name for name, kept in self.storage[self._thread].items() if kept]:
            if self._memory.lasts(namespace):
                where: RunnableConfig = {"configurable": {"thread_id": self._thread, "checkpoint_ns": namespace}}
                new = [each for each in self.list(where) if each.checkpoint["id"] not in self.recalled]
                # Later ones make earlier ones superfluous, unless they are made up of them.
                found[namespace] = new[::-1] if new and new[0].metadata.get(DELTAS) else new[:1]
        return {namespace: tuples for namespace, tuples in found.items() if tuples}


def memory_of(config: RunnableConfig, agent: Agent, alone: bool, number: int) -> Memory | None:
    """Where the agent of a question would keep its memory; ``None`` where nothing is kept.

    Args:
        config: of the task that asks it.
        agent: the agent.
        alone: whether the graph around is that of ``as_agent()``: it stands for the agent, and keeps its state.
        number: which question this is of those asked in the task.
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
    """Say so where a function keeps a graph that would remember, were the function not run in rollouts."""
    if agent.has_nodes or not agent.is_function or (config.get("configurable") or {}).get("thread_id") is None:
        return
    graph = graph_called_by(agent.original)
    if isinstance(getattr(graph, "checkpointer", None), BaseCheckpointSaver):
        warnings.warn(
            f"the agent {agent.name!r} calls the graph {graph.get_name()!r}, which has a checkpointer of its own. In a "
            "rollout it runs on a thread of that rollout and remembers nothing of earlier turns; on a thread that the "
            "function names itself, all rollouts write. Pass the graph itself as the agent, or keep what is to last in "
            "the state of the graph around",
            MemoryWarning,
            stacklevel=2,
        )


def saver_for(memory: Memory | None, thread: str, exact: bool) -> InMemorySaver:
    """A saver for the rollout on this thread; ``exact``: one that makes copies of all that it is given."""
    if memory is not None:
        return RecallingSaver(memory, thread, None if exact else AsIs())
    return InMemorySaver() if exact else memory_saver()


def remembered(end: End) -> End:
    """The part of a record's end that says what the rollout remembers."""
    kept: End = {}
    if "memory" in end:
        kept["memory"] = end["memory"]
    if "forgotten" in end:
        kept["forgotten"] = end["forgotten"]
    return kept


def keep(memory: Memory | None, parking: Parking, end: End, config: RunnableConfig) -> Plan[None]:
    """What the winner remembers is what the next turn finds."""
    if memory is not None and "memory" in end:
        # If it is gone, a run that was killed since has put it there.
        yield from memory.keep((yield from parking.found(end["memory"])), config)
    if graphs := end.get("forgotten"):
        warnings.warn(
            f"{', '.join(graphs)} stopped at a call that is carried out elsewhere, so what it remembers (compiled with "
            "checkpointer=True) stays as it was before this turn; on_commit='execute' brings its step to an end",
            MemoryWarning,
            stacklevel=2,
        )


def named(namespace: str) -> str:
    """How errors and warnings name the graph of a namespace."""
    inside = namespace.removeprefix(BOX_NODE).removeprefix("|") or namespace
    return f"the subgraph {inside!r}"
