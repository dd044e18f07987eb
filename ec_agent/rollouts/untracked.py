"""Values that are never checkpointed: they stay in memory, on the way through a question too.

LangGraph keeps what is declared ``UntrackedValue`` (an open handle, a secret) out of its checkpoints. A rollout's
record and the thread it is parked on are checkpoints of ours, so these values go around them, in the session. A run
that is resumed goes on without them, as the agent alone does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.graph import START
from langgraph.types import Send

from ec_agent.insides.langgraph import TASKS, untracked

Pairs = list[tuple[str, Any]]

# Channels that hold states, or parts of them: the input, and what is sent.
_WHOLE = (START, TASKS)


def untracked_keys(*states: Mapping[str, Any] | None) -> frozenset[str]:
    """The keys that one of these states (channels by key) keeps out of checkpoints."""
    return frozenset(key for channels in states for key, channel in (channels or {}).items() if untracked(channel))


def parted(writes: Iterable[Sequence[Any]], keys: Collection[str]) -> tuple[Pairs, Pairs]:
    """The writes that may be put on record, and those to the keys that may not."""
    pairs = [(key, value) for key, value in writes]
    return [pair for pair in pairs if pair[0] not in keys], [pair for pair in pairs if pair[0] in keys]


def without(value: Any, keys: Collection[str]) -> Any:
    """A state or an update less these keys, also where it is what something is sent with."""
    if isinstance(value, Send):
        return Send(value.node, without(value.arg, keys), timeout=value.timeout)
    if not isinstance(value, Mapping) or not any(key in value for key in keys):
        return value
    return {key: item for key, item in value.items() if key not in keys}


class Sieve:
    """Takes what is untracked out of an agent's checkpoints.

    LangGraph leaves it in the input, and with durability "exit" in the writes of tasks beside one that asks.

    Args:
        graphs: the agent and the graphs in it, by namespace without ids; the agent's is empty.

    Attributes:
        own: the keys of the agent's own state that are untracked.
    """

    def __init__(self, graphs: Mapping[str, Any]) -> None:
        self._keys = {name: untracked_keys(graph.channels) for name, graph in graphs.items()}
        self.own = self._keys.get("", frozenset())
        self._all = frozenset().union(*self._keys.values())

    def sifted(self, found: CheckpointTuple) -> CheckpointTuple:
        """The checkpoint less what is untracked in its graph."""
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
        # A node's second graph is numbered: node:id|1. A graph that is called by a function may not be known.
        parts = [part.partition(":")[0] for part in namespace.split("|") if not part.isdigit()]
        return self._keys.get("|".join(parts), self._all)


def _bare(value: Any, keys: Collection[str]) -> Any:
    return [without(item, keys) for item in value] if isinstance(value, list) else without(value, keys)
