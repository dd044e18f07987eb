"""Which LLM calls count towards a rollout's timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isclass, iscoroutinefunction
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config

from ec_agent.errors import ConfigError
from ec_agent.support.checks import checked, function, mapping, or_none, refusal, repr_of, several


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What is known of an LLM call when it starts.

    Attributes:
        node: the graph node that makes it; ``None`` outside a graph.
        path: that node and the nodes around it, the outermost first: a call inside the subgraph node
            ``"user"`` has ``"user"`` in its path.
        tags: the call's tags.
        metadata: the call's metadata, as LangChain collected it.
        model: the model asked for, where known.
    """

    node: str | None = None
    path: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None


CallPredicate = Callable[[CallInfo], bool]
_RATHER = "a CallFilter(...) or a function from CallInfo to bool"


def call_info(
    metadata: Mapping[str, Any] | None = None, tags: Sequence[str] | None = None, model: Any = None
) -> CallInfo:
    """What is known of a call that starts here; the ambient run fills in what the call itself lacks."""
    ambient = var_child_runnable_config.get() or {}
    metadata = {**(ambient.get("metadata") or {}), **(metadata or {})}
    namespace = str(metadata.get("langgraph_checkpoint_ns") or "")
    path = tuple(part.split(":")[0] for part in namespace.split("|") if part and not part.isdigit())
    node = metadata.get("langgraph_node")
    if node is not None and node not in path:
        path = (*path, node)
    return CallInfo(
        node=node,
        path=path,
        tags=tuple(dict.fromkeys([*(ambient.get("tags") or ()), *(tags or ())])),
        metadata=metadata,
        model=str(model) if model else None,
    )


def predicate(name: str, value: Any) -> CallPredicate:
    """What tells which calls count: no class, and nothing to be awaited, which would count every call."""
    if isclass(value) or iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__):
        raise refusal(name, value, _RATHER)
    told: CallPredicate = function(name, value, _RATHER, of=1)
    return told


@dataclass(frozen=True, slots=True)
class CallFilter:
    """A predicate over calls, by node, tag and metadata.

    A call counts when it matches every condition that is given and none of those excluded.

    Attributes:
        nodes: it runs in (or below) one of these nodes.
        tags: it has one of these tags.
        metadata: it has all of these metadata values.
        exclude_nodes: it runs in (or below) none of these nodes: a simulated user, a judge.
        exclude_tags: it has none of these tags.

    Example:
        ``best_of_n(agent, calls=CallFilter(exclude_nodes=["simulated_user"]))``
    """

    nodes: Iterable[str] | None = None
    tags: Iterable[str] | None = None
    metadata: Mapping[str, Any] | None = None
    exclude_nodes: Iterable[str] = ()
    exclude_tags: Iterable[str] = ()

    def __post_init__(self) -> None:
        for name in ("nodes", "tags", "exclude_nodes", "exclude_tags"):
            value = getattr(self, name)
            if value is None and not name.startswith("exclude"):
                continue
            if isinstance(value, str):
                one = repr_of(value)
                raise ConfigError(f"{name} is the single string {one}; give a list: {name}=[{one}]")
            object.__setattr__(self, name, frozenset(several(name, value, str, "a list of names")))
        checked(self, "metadata", or_none, mapping, "a dict of the values a call must have")

    def __call__(self, call: CallInfo) -> bool:
        """Whether the call counts."""
        path, tags = set(call.path), set(call.tags)
        return (
            (self.nodes is None or bool(path & set(self.nodes)))
            and (self.tags is None or bool(tags & set(self.tags)))
            and all(k in call.metadata and call.metadata[k] == v for k, v in (self.metadata or {}).items())
            and not path & set(self.exclude_nodes)
            and not tags & set(self.exclude_tags)
        )
