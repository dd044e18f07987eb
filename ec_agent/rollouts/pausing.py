"""Stop the outer graph for people: at the questions that an agent asks, and at breakpoints.

A breakpoint (``interrupt_before``, ``interrupt_after``) stops a rollout as ``interrupt()`` does, but asks nothing. The
breakpoints that an agent was compiled with work in its rollouts. Those given at run time, for example to the graph of
``as_agent()``, name nodes that exist only inside the rollouts, so they are passed on to them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt

from ec_agent.commits.declared_tools import CommitPolicy
from ec_agent.errors import AgentError, ConfigError
from ec_agent.insides.langgraph import BREAKPOINTS, breakpoints_in, saver_of
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.options import Options

KINDS = ("interrupt_before", "interrupt_after")


def question_of(asked: Mapping[str, Any]) -> list[Any]:
    """Return the id and value of an interrupt from a ``tasks`` stream, and the answer's schema if it has one."""
    schema = asked.get("response_schema")
    return [asked["id"], asked["value"], *([schema] if schema else [])]


def ask(question: Sequence[Any]) -> dict[str, Any]:
    """Ask people one question of the winner; used as a node. The update holds the answer and the interrupt's id."""
    asked, value, *schema = question
    answer = interrupt(value, response_schema=schema[0]) if schema else interrupt(value)
    return {"told": [[asked, answer]]}


def with_breakpoints(config: RunnableConfig, **given: Any) -> RunnableConfig:
    """Return the config with the breakpoints that are among a call's keyword arguments."""
    found = {kind: given[kind] for kind in KINDS if given.get(kind)}
    if not found:
        return config
    return {**config, "configurable": {**(config.get("configurable") or {}), BREAKPOINTS: found}}


def check_breakpoints(agent: Agent, options: Options, policy: CommitPolicy, config: RunnableConfig) -> dict[str, Any]:
    """Return the breakpoints given at run time, to be passed on to the agent.

    Raises:
        AgentError: there is a breakpoint, but no checkpointer from which a run could go on after it.
        ConfigError: there is a breakpoint, but the rollouts' environments cannot stay open during the pause.
    """
    given = breakpoints_in(config) if agent.has_nodes else {}
    # Without a checkpointer an agent ends at its breakpoint. That is wanted where the breakpoint stands before an
    # action that the outer graph carries out.
    acts = policy.unknown or any(map(policy.commits, [*policy.names, *policy.tools]))
    named = ", ".join(f"{kind}={nodes!r}" for kind, nodes in [*agent.breakpoints(), *given.items()])
    if named and saver_of(config) is None and not acts:
        raise AgentError(
            f"the agent {agent.name!r} has breakpoints ({named}), but the run has no checkpointer to go on from after "
            "the pause; compile the outer graph with one (as_agent() has the agent's), or take the breakpoints out"
        )
    if named and options.environment is not None:
        raise ConfigError(
            f"the agent {agent.name!r} has breakpoints ({named}), but the environment of a rollout cannot be kept "
            "open while it pauses; take the breakpoints out, or leave environment= out"
        )
    return given


class PausingGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """The graph that ``as_agent()`` returns: it passes breakpoints given at run time on to the agent's nodes.

    A breakpoint at its own node (``"best_of_n"``) works in the graph itself.
    """

    @classmethod
    def of(cls, graph: CompiledStateGraph[Any, Any, Any, Any]) -> PausingGraph:
        """Return the compiled graph as a ``PausingGraph``."""
        return cls(**{name: value for name, value in vars(graph).items() if name != "__orig_class__"})

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Stream the graph as any compiled graph; see the class about breakpoints."""
        config, kwargs = self._handed_on(config, kwargs)
        return super().stream(input, config, **kwargs)

    def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """Stream the graph as any compiled graph; see the class about breakpoints."""
        config, kwargs = self._handed_on(config, kwargs)
        return super().astream(input, config, **kwargs)

    def _handed_on(
        self, config: RunnableConfig | None, kwargs: dict[str, Any]
    ) -> tuple[RunnableConfig | None, dict[str, Any]]:
        given = {kind: kwargs[kind] for kind in KINDS if kwargs.get(kind)}
        if not given:
            return config, kwargs
        own = {kind: [] if nodes == "*" else [n for n in nodes if n in self.nodes] for kind, nodes in given.items()}
        return with_breakpoints(config or {}, **given), {**kwargs, **{kind: own[kind] or None for kind in given}}
