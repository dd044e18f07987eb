"""Where the graph around stops for people: at questions, asked side by side, and at breakpoints.

A breakpoint (``interrupt_before``, ``interrupt_after``) stops a rollout as ``interrupt()`` does, with nothing asked.
Those that an agent was compiled with come along; those given at run time, to ``as_agent()`` say, name nodes that run
within the rollouts, so they are handed on to these.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt

from ec_agent.commits.effects import CommitPolicy
from ec_agent.errors import AgentError, ConfigError
from ec_agent.insides.langgraph import BREAKPOINTS, breakpoints_in, saver_of
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.options import Options

KINDS = ("interrupt_before", "interrupt_after")


def question_of(asked: Mapping[str, Any]) -> list[Any]:
    """An interrupt as a stream of tasks shows it: its id, its value and, where it has one, the answer's schema."""
    schema = asked.get("response_schema")
    return [asked["id"], asked["value"], *([schema] if schema else [])]


def ask(question: Sequence[Any]) -> dict[str, Any]:
    """A node that asks people one question; what they say, by the id of the rollout's own interrupt."""
    asked, value, *schema = question
    answer = interrupt(value, response_schema=schema[0]) if schema else interrupt(value)
    return {"told": [[asked, answer]]}


def with_breakpoints(config: RunnableConfig, **given: Any) -> RunnableConfig:
    """The config with the breakpoints that are among what was ``given`` to a call."""
    found = {kind: given[kind] for kind in KINDS if given.get(kind)}
    if not found:
        return config
    return {**config, "configurable": {**(config.get("configurable") or {}), BREAKPOINTS: found}}


def check_breakpoints(agent: Agent, options: Options, policy: CommitPolicy, config: RunnableConfig) -> dict[str, Any]:
    """The breakpoints given at run time, to be handed on to the agent.

    Raises:
        AgentError: nothing could go on from a breakpoint of this agent.
        ConfigError: its environment could not wait.
    """
    given = breakpoints_in(config) if agent.has_nodes else {}
    # Without a checkpointer an agent ends at its breakpoint. Before an action that is done elsewhere, that is right.
    acts = policy.unknown or any(map(policy.commits, [*policy.names, *policy.tools]))
    named = ", ".join(f"{kind}={nodes!r}" for kind, nodes in [*agent.breakpoints(), *given.items()])
    if named and saver_of(config) is None and not acts:
        raise AgentError(
            f"the agent {agent.name!r} has breakpoints ({named}), and there is no checkpointer around to go on from "
            "after the pause; compile the graph with one (as_agent() has the agent's), or take the breakpoints out"
        )
    if named and options.environment is not None:
        raise ConfigError(
            f"the agent {agent.name!r} has breakpoints ({named}), and the environment of a rollout cannot be kept "
            "while it pauses; take the breakpoints out, or leave environment= out"
        )
    return given


class PausingGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """The graph around ``best_of_n`` alone: breakpoints given at run time are for the nodes of the agent within.

    One at the node itself (``"best_of_n"``) is the graph's own.
    """

    @classmethod
    def of(cls, graph: CompiledStateGraph[Any, Any, Any, Any]) -> PausingGraph:
        """The graph, as one of these."""
        return cls(**{name: value for name, value in vars(graph).items() if name != "__orig_class__"})

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """As of any compiled graph."""
        config, kwargs = self._handed_on(config, kwargs)
        return super().stream(input, config, **kwargs)

    def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """As of any compiled graph."""
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
