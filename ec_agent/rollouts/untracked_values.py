"""Keep untracked values, such as an open handle or a secret, out of our checkpoints.

LangGraph keeps a state key that is declared ``UntrackedValue`` out of its checkpoints. A rollout's record and its
parked state are stored in checkpoints too, so these values are removed from both; the question keeps them in memory. A
resumed run goes on without them, as the agent does without ``best_of_n``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.graph import START
from langgraph.types import Send

from ec_agent.insides.langgraph import TASKS, untracked

Pairs = list[tuple[str, Any]]

# Channels whose values are whole states or updates: the input, and the arguments of ``Send``.
_WHOLE = (START, TASKS)


def untracked_keys(*states: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the untracked keys of these states, each given as its channels by key."""
    return frozenset(key for channels in states for key, channel in (channels or {}).items() if untracked(channel))


def parted(writes: Iterable[Sequence[Any]], keys: Collection[str]) -> tuple[Pairs, Pairs]:
    """Split writes into those that may be recorded, and those to ``keys``, which may not."""
    pairs = [(key, value) for key, value in writes]
    return [pair for pair in pairs if pair[0] not in keys], [pair for pair in pairs if pair[0] in keys]


def without(value: Any, keys: Collection[str]) -> Any:
    """Return a state or an update without these keys. A ``Send`` is returned with its argument treated so."""
    if isinstance(value, Send):
        return Send(value.node, without(value.arg, keys), timeout=value.timeout)
    if not isinstance(value, Mapping) or not any(key in value for key in keys):
        return value
    return {key: item for key, item in value.items() if key not in keys}


class Sieve:
    """Removes untracked values from an agent's checkpoints.

    LangGraph itself leaves them in two places: in the input, and, with durability "exit", in the writes of tasks that
    ended in the same step as one that asks a question.

    Args:
        graphs: the agent and its subgraphs, by namespace without task ids; the agent's namespace is empty.

    Attributes:
        own: the untracked keys of the agent's own state.
    """

    def __init__(self, graphs: Mapping[str, Any]) -> None:
        self._keys = {name: untracked_keys(graph.channels) for name, graph in graphs.items()}
        self.own = self._keys.get("", frozenset())
        self._all = frozenset().union(*self._keys.values())

    def sifted(self, found: CheckpointTuple) -> CheckpointTuple:
        """Return the checkpoint without the untracked values of its graph."""
        if not self._all:
            return found
        keys = self._of(str(found.config["configurable"].get("checkpoint_ns") or ""))
        values = {
            key: _bare(value, keys) if key in _WHOLE else value
            for key, value in found.checkpoint["channel_values"].items()
            if key not in keys
        }
        writes = [
            (task, key, _bare(value, keys) if key in _WHOLE else value)
            for task, key, value in found.pending_writes or []
            if key not in keys
        ]
        return found._replace(checkpoint={**found.checkpoint, "channel_values": values}, pending_writes=writes)

    def _of(self, namespace: str) -> frozenset[str]:
        # A second graph of one node has a number in its namespace: node:id|1. A graph that a function calls may not be
        # among the known ones; then every untracked key of the agent counts.
        parts = [part.partition(":")[0] for part in namespace.split("|") if not part.isdigit()]
        return self._keys.get("|".join(parts), self._all)


def _bare(value: Any, keys: Collection[str]) -> Any:
    return [without(item, keys) for item in value] if isinstance(value, list) else without(value, keys)
