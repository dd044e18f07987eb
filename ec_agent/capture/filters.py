"""Filters that decide which LLM calls belong to a rollout's timeline."""

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
    """What is known about an LLM call when it starts.

    Attributes:
        node: name of the graph node that makes it, or ``None`` outside of a graph.
        path: names of that node and of the nodes that contain it, the outermost first. A call inside of a subgraph in
            the node ``"user"`` has ``"user"`` in its path.
        tags: the tags of the call.
        metadata: the metadata of the call, as LangChain collected it.
        model: name of the model asked for, or ``None`` if it is not known.
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
    """Return what is known about a call that starts here.

    Tags and metadata of the surrounding LangChain run are added to those of the call.

    Args:
        metadata: the metadata of the call itself.
        tags: the tags of the call itself.
        model: the model asked for.
    """
    ambient = var_child_runnable_config.get() or {}
    metadata = {**(ambient.get("metadata") or {}), **(metadata or {})}
    namespace = str(metadata.get("langgraph_checkpoint_ns") or "")
    # LangGraph's namespaces are "node:task|node:task", with numbers for repeated calls of a subgraph in one node.
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
    """Check a filter: a function from ``CallInfo`` to bool.

    A class or an async function is refused: calling it gives an object, which is always true.

    Args:
        name: name of the argument, for the error.
        value: the filter.

    Raises:
        ConfigError: it is not such a function.
    """
    if isclass(value) or iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__):
        raise refusal(name, value, _RATHER)
    told: CallPredicate = function(name, value, _RATHER, of=1)
    return told


@dataclass(frozen=True, slots=True)
class CallFilter:
    """A filter for LLM calls by node, tag and metadata.

    A call counts if it meets all conditions that are given.

    Attributes:
        nodes: the call is made in one of these nodes, or in a subgraph inside of one.
        tags: the call has at least one of these tags.
        metadata: the call has all of these values in its metadata.
        exclude_nodes: the call is made in none of these nodes, such as a simulated user or a judge.
        exclude_tags: the call has none of these tags.

    Raises:
        ConfigError: an argument is not a list of names, or not a dict.

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
        """Tell whether a call counts."""
        path, tags = set(call.path), set(call.tags)
        return (
            (self.nodes is None or bool(path & set(self.nodes)))
            and (self.tags is None or bool(tags & set(self.tags)))
            and all(k in call.metadata and call.metadata[k] == v for k, v in (self.metadata or {}).items())
            and not path & set(self.exclude_nodes)
            and not tags & set(self.exclude_tags)
        )
