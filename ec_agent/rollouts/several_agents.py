"""Give the rollouts of a question their agents: all the same one, or several that take turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.pregel import Pregel

from ec_agent.commits.declared_tools import effect_of
from ec_agent.errors import AgentError, ConfigError
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.refused_agents import ANYTHING
from ec_agent.support.checks import repr_of

_COMPILED_WITH = ("checkpointer", "store", "cache")
_ALONE = "give one agent, or several that share a state schema"


class Agents:
    """The agents of ``best_of_n``: rollout ``i`` runs agent ``i`` of the list, and after the last one the first again.

    Several agents must be interchangeable for the outer graph and for whoever calls: all are functions, or all are
    graphs with the same state schema.

    Args:
        given: what the user gave: an agent, or a list of agents.
        whole: see ``Agent``.

    Attributes:
        original: what the user gave.
        whole: see ``Agent``.
        all: the agents.
        first: the first one. What holds for all of them, such as the schema, can be read from it.
        name: their name: the agent's own, or all names with ``+`` between them.
        labels: names that tell several agents apart, in their order; empty for one agent.
        tools: the tools of all agents' tool nodes, by name.

    Raises:
        AgentError: one of them is no agent, or the list is empty.
        ConfigError: the agents cannot stand for one another.
    """

    def __init__(self, given: Any, whole: bool = False) -> None:
        self.original, self.whole = given, whole
        several = list(given) if isinstance(given, list | tuple) else [given]
        if not several:
            raise AgentError(f"the list of agents is empty; {ANYTHING}, or a list of them")
        self.all = tuple(Agent(each, whole) for each in several)
        self.first = self.all[0]
        names = [agent.name for agent in self.all]
        self.name = "+".join(dict.fromkeys(names))
        self.labels = _labels(names) if len(names) > 1 else ()
        self.tools: dict[str, BaseTool] = {}
        for agent in reversed(self.all):
            self.tools |= agent.tools
        self._check()

    @property
    def async_only(self) -> bool:
        """Whether one of them is an async function, which has no sync form."""
        return any(agent.async_only for agent in self.all)

    @property
    def store(self) -> Any:
        """The store that they were compiled with; ``None`` without one."""
        return next((agent.store for agent in self.all if agent.store is not None), None)

    def place_of(self, index: int) -> int:
        """Return the place in the list of the agent that a rollout runs which starts from the input."""
        return index % len(self.all)

    def label_of(self, place: int) -> str | None:
        """Return the name that tells the agent at this place from the others; ``None`` if there is only one."""
        return self.labels[place] if self.labels else None

    def compiled_with(self) -> dict[str, Any]:
        """Return the checkpointer, store and cache with which the graphs were compiled, for a graph in their place."""
        graphs = [agent.original for agent in self.all if isinstance(agent.original, Pregel)]
        names = _COMPILED_WITH if self.first.drawn is not None else _COMPILED_WITH[:2]
        return {name: next(iter(_held(graphs, name)), None) for name in names}

    def check_count(self, n: int) -> None:
        """Check that n rollouts are enough for each agent to run.

        Raises:
            ConfigError: they are not.
        """
        if n < len(self.all):
            idle = ", ".join(map(repr, self.labels[n:]))
            raise ConfigError(
                f"{len(self.all)} agents are given for n={n} rollouts, so {idle} would never run; give at most n "
                "agents, or a larger n"
            )

    def _check(self) -> None:
        for place, agent in enumerate(self.all if len(self.all) > 1 else ()):
            who = self.labels[place]
            if agent.is_function != self.first.is_function:
                raise ConfigError(
                    f"the agents {self.labels[0]!r} and {who!r} are a function and a graph; {_ALONE}, or wrap the "
                    "graph in a function that returns the update"
                )
            if agent.needs_saver or agent.lasts or (agent.is_function and agent.has_nodes):
                raise ConfigError(
                    f"the agent {who!r} remembers over turns by itself (checkpointer=True, or an entrypoint), and "
                    f"several agents would share one memory; {_ALONE}, whose memory is in the state of the outer graph"
                )
            if not agent.is_function and (differs := _difference(self.first, agent)):
                raise ConfigError(
                    f"the agents {self.labels[0]!r} and {who!r} have different state schemas: {differs}; give agents "
                    "with the same state_schema, or wrap each in a function that returns an update of common keys"
                )
            for name, tool in agent.tools.items():
                if effect_of(tool) != effect_of(self.tools[name]):
                    raise ConfigError(
                        f"the tool {name!r} of the agent {who!r} is marked {effect_of(tool)!r}, and that of another "
                        f"agent {effect_of(self.tools[name])!r}; mark both alike, or give them different names"
                    )
        graphs = [agent.original for agent in self.all if isinstance(agent.original, Pregel)]
        for name in _COMPILED_WITH:
            if len(_held(graphs, name)) > 1:
                raise ConfigError(
                    f"the agents were compiled with different objects as {name}=; compile them with the same one, or "
                    "only the outer graph with one"
                )


def check_several(given: Sequence[Any]) -> None:
    """Check that agents can stand for one another as the agents of one question.

    Raises:
        AgentError: one of them is no agent.
        ConfigError: they cannot.
    """
    if given:
        Agents(list(given))


def _labels(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ: the agents' own, with the place behind those that several of them have."""
    counts = Counter(names)
    return tuple(name if counts[name] == 1 else f"{name}#{place}" for place, name in enumerate(names))


def _held(graphs: Sequence[Any], name: str) -> list[Any]:
    """Return the different objects that graphs were compiled with under this name."""
    held = [value for graph in graphs if (value := getattr(graph, name, None)) not in (None, False)]
    return list({id(value): value for value in held}.values())


def _difference(one: Agent, other: Agent) -> str | None:
    """Return how the states of two graphs differ, in words; ``None`` if they do not."""
    for what, mine, theirs in (
        ("state keys", one.state_keys, other.state_keys),
        ("input keys", one.input_keys, other.input_keys),
        ("output keys", one.channels or (), other.channels or ()),
    ):
        if odd := sorted(set(mine) ^ set(theirs)):
            return f"only one of them has the {what} {odd}"
    mine, theirs = (_channels(agent) for agent in (one, other))
    unlike = sorted(key for key in set(mine) & set(theirs) if not _alike(mine[key], theirs[key]))
    if unlike:
        return f"the keys {unlike} have other types or reducers"
    contexts = [getattr(agent.original, "context_schema", None) for agent in (one, other)]
    if contexts[0] is not contexts[1]:
        return f"their context schemas are {repr_of(contexts[0])} and {repr_of(contexts[1])}"
    return None


def _channels(agent: Agent) -> Mapping[str, Any]:
    return {key: agent.original.channels[key] for key in agent.state_keys if key in agent.original.channels}


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other) and getattr(one, "typ", None) == getattr(other, "typ", None)
