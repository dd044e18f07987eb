"""``best_of_n``: runs an agent n times and goes on with one of the rollouts; usable as a node and as an agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any, Unpack

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, get_config_list
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ec_agent.errors import AgentError, ConfigError
from ec_agent.insides.executors import interruptible
from ec_agent.insides.langgraph import config_here, inside_graph, with_private_keys
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.agent_places import loaded
from ec_agent.rollouts.node import Node
from ec_agent.rollouts.observer import Chosen, Observer
from ec_agent.rollouts.observing import Installed, observed
from ec_agent.rollouts.on_workers import Workers
from ec_agent.rollouts.options import BestOfNOptions, Options
from ec_agent.rollouts.pausing import PausingGraph, with_breakpoints
from ec_agent.rollouts.progress import Emit, ProgressEvents
from ec_agent.rollouts.selection import Selection
from ec_agent.support.checks import mapping, repr_of
from ec_agent.support.plans import Plan, Step, adrive, drive


@dataclass(frozen=True, slots=True)
class BestOfNResult:
    """The result of ``BestOfN.run``.

    Attributes:
        output: the winner's output, in the form in which the wrapped agent returns it.
        selection: the receipt.
        trajectories: the LLM calls of every rollout that was started, in index order; empty for one that made none.
            A cancelled one has those that it made until then.
        final_actions: the final action of each of them, in index order; ``None`` for one that failed or was cancelled.
    """

    output: Any
    selection: Selection
    trajectories: tuple[Trajectory, ...]
    final_actions: tuple[Any, ...]

    def __str__(self) -> str:
        return str(self.selection)


class BestOfN(RunnableLambda[Any, Any]):
    """What ``best_of_n`` returns: a node for a graph, and an agent outside one. See ``best_of_n``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        super().__init__(self.invoke, afunc=self.ainvoke, name="best_of_n")

    def __repr__(self) -> str:
        options = self._node.options
        return f"best_of_n({self._node.agents.name}, n={options.n}, selector={options.selector.name})"

    @property
    def deps(self) -> list[Runnable[Any, Any]]:
        """The graph that runs the rollouts; LangChain's drawings show it."""
        return [self._node.fan_out]

    # As a node: writes.

    def _invoke_node(self, state: Any, config: RunnableConfig) -> Any:
        if self._node.agents.async_only:
            name = self._node.agents.name
            raise AgentError(f"the agent {name!r} is an async function; use ainvoke, arun or astream")
        return drive(self._node.plan(state, config))

    async def _ainvoke_node(self, state: Any, config: RunnableConfig) -> Any:
        return await adrive(self._node.plan(state, config))

    # As an agent: the agent's own input and output.

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the question. Inside a graph this returns the winner's ``Writes``, outside one its full output."""
        config = config_here(_checked(config))
        if inside_graph(config):
            return self._invoke_node(input, with_breakpoints(config, **kwargs))
        return self.run(input, config, **kwargs).output

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the question. Inside a graph this returns the winner's ``Writes``, outside one its full output."""
        config = config_here(_checked(config))
        if inside_graph(config):
            return await self._ainvoke_node(input, with_breakpoints(config, **kwargs))
        return (await self.arun(input, config, **kwargs)).output

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Stream the run as a compiled graph does: ``stream_mode="custom"`` gives the rollouts' progress events.

        Inside a graph, which may stream its nodes, this yields the winner's ``Writes`` as a single part.
        """
        config = config_here(_checked(config))
        if inside_graph(config):
            yield self._invoke_node(input, with_breakpoints(config, **kwargs))
        else:
            yield from self.as_agent().stream(input, config, **kwargs)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """The async twin of ``stream``."""
        config = config_here(_checked(config))
        if inside_graph(config):
            yield await self._ainvoke_node(input, with_breakpoints(config, **kwargs))
        else:
            async for part in self.as_agent().astream(input, config, **kwargs):
                yield part

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Run several inputs: outside a graph side by side, inside a graph one after the other.

        Inside a graph, a resumed run identifies its questions by their order, so the order must always be the same.
        """
        if not inside_graph(config_here(None)):
            side_by_side = super().batch
            return interruptible(lambda: side_by_side(inputs, config, return_exceptions=return_exceptions, **kwargs))
        return drive(self._in_turn(inputs, config, return_exceptions, kwargs))

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Any]:
        """The async twin of ``batch``."""
        if not inside_graph(config_here(None)):
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return await adrive(self._in_turn(inputs, config, return_exceptions, kwargs))

    def _in_turn(self, inputs: list[Any], config: Any, return_exceptions: bool, kwargs: Any) -> Plan[list[Any]]:
        done: list[Any] = []
        for each, its in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            try:
                done.append((yield _invocation(self, each, its, kwargs)))
            except Exception as error:
                if not return_exceptions:
                    raise
                done.append(error)
        return done

    def run(
        self, input: Any, config: RunnableConfig | None = None, *, on_event: Emit | None = None, **kwargs: Any
    ) -> BestOfNResult:
        """Run the question, and return output, receipt and trajectories together.

        Ctrl-C stops each rollout at its next model or tool call. So does an error of a node beside it, or the closing
        of its stream. Then nothing is chosen. An action that has begun is carried to its end. See docs/safety.md.

        Args:
            input: the wrapped agent's input.
            config: the run's config; ``thread_id`` continues a thread if the agent has a checkpointer.
            on_event: called with each progress event, the same events as on the custom stream. In a sync run the
                rollouts' threads call it, and for rollouts on workers threads of the engine. docs/live.md lists the
                events; ``ec_agent.live.view()`` shows them.
            **kwargs: further arguments of a compiled graph's ``invoke``, such as ``context=``.

        Raises:
            ConfigError: ``on_event`` cannot be called, or is an async function; ``config`` is no dict.
            SelectionError: every rollout failed, or none could be scored.
            KeyboardInterrupt: Ctrl-C was pressed. It is raised as soon as the running calls have returned.
        """
        _checked(config)
        with _observed_by(on_event) as last:
            output = self.as_agent().invoke(input, config, **kwargs)
        return _result(output, last)

    async def arun(
        self, input: Any, config: RunnableConfig | None = None, *, on_event: Emit | None = None, **kwargs: Any
    ) -> BestOfNResult:
        """The async twin of ``run``."""
        _checked(config)
        with _observed_by(on_event) as last:
            output = await self.as_agent().ainvoke(input, config, **kwargs)
        return _result(output, last)

    def close(self) -> None:
        """End the workers of ``engine=``, which else stand ready for further questions. The next one starts others."""
        if self._node.workers is not None:
            self._node.workers.close()

    async def aclose(self) -> None:
        """End the workers, as ``close`` does, and let others run until they have ended."""
        await asyncio.to_thread(self.close)

    def as_agent(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Return a compiled graph that stands for the agent: it has the agent's input, output and checkpointer."""
        return self._as_agent

    @cached_property
    def _as_agent(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        agents, options = self._node.agents, self._node.options
        agent, compiled_with = agents.first, agents.compiled_with()
        drawn = agent.drawn
        if drawn is None:
            builder: Any = StateGraph(object)  # a state without keys, for whatever the function takes
            # A plain function has no checkpointer. An entrypoint has one, by which it remembers over turns.
        else:
            made = drawn.builder
            builder = StateGraph(
                made.state_schema,
                context_schema=made.context_schema,
                input_schema=made.input_schema,
                output_schema=made.output_schema,
            )
            if options.selection_key not in drawn.channels:
                options = replace(options, selection_key=None)
        reads = {} if drawn is None else {"input_schema": with_private_keys(builder, drawn.builder)}
        node = Node(agents.original, options, True, self._node.notices, self._node.workers)
        builder.add_node("best_of_n", BestOfN(node), **reads)
        builder.add_edge(START, "best_of_n")
        builder.add_edge("best_of_n", END)
        compiled: CompiledStateGraph[Any, Any, Any, Any] = builder.compile(name=agents.name, **compiled_with)
        return PausingGraph.of(compiled) if agent.has_nodes else compiled


def _checked(config: RunnableConfig | None) -> RunnableConfig | None:
    if config is not None:
        mapping("config", config, 'a dict such as {"configurable": {"thread_id": "1"}}, or None')
    return config


class LastChoice(Observer):
    """Keeps the last choice of a run, which ``run()`` returns; the state has no trajectories."""

    def __init__(self) -> None:
        self.last: Chosen | None = None

    def chosen(self, chosen: Chosen) -> None:
        """Keep the choice: it may be the last one."""
        self.last = chosen

    def question_waits(self, chosen: Chosen) -> None:
        """Keep the earlier choice, if none was made: a resumed run may stop at its next question."""
        self.last = self.last or chosen

    def question_over(self, chosen: Chosen) -> None:
        """Keep the choice again, since its receipt is complete now."""
        self.last = chosen


@contextmanager
def _observed_by(on_event: Emit | None) -> Iterator[LastChoice]:
    """Inside the ``with`` block, observe questions by ``on_event`` and keep their last choice.

    The ``on_event`` of an outer run is not called: that run has events of its own.

    Raises:
        ConfigError: ``on_event`` cannot be called, or is an async function.
    """
    if on_event is not None and (not callable(on_event) or iscoroutinefunction(on_event)):
        raise ConfigError(f"on_event is {repr_of(on_event)}; give a plain function of one event, or leave it out")
    last = LastChoice()
    observers = [Installed("run", lambda _: last)]
    if on_event is not None:
        observers.append(Installed("on_event", lambda _: ProgressEvents(on_event)))
    with observed(*observers, but=("on_event",)):
        yield last


def _result(output: Any, choice: LastChoice) -> BestOfNResult:
    if (last := choice.last) is None:
        raise AgentError("nothing was run, because the thread's last run has ended; give it a new input")
    return BestOfNResult(output, last.selection, last.trajectories, last.final_actions)


def _invocation(node: BestOfN, each: Any, its: RunnableConfig, kwargs: Any) -> Step:
    return Step(lambda: node.invoke(each, its, **kwargs), lambda: node.ainvoke(each, its, **kwargs))


def best_of_n(agent: Any, n: int = 8, **options: Unpack[BestOfNOptions]) -> BestOfN:
    """Run ``agent`` n times on the same input, and go on with one of the rollouts, the winner.

    By default the winner is the rollout with the lowest entropy centroid: its model was unsure early rather than late.

    An agent is a compiled LangGraph graph (a ``create_agent`` agent or your own graph, with any state schema), a
    function or coroutine function from state to state update, or a Runnable of that kind. A Runnable with a graph in it
    (``prepare | graph``) is refused, because it returns the graph's whole state. A function may call a graph.

    A list of agents makes different rollouts: rollout ``i`` runs agent ``i``, and after the last one the first again.
    So ``[a, b]`` take turns, and a list of n agents says it for each rollout. All must be graphs with the same state
    schema, or all functions. The receipt says which agent a rollout ran.

    The result depends on where it is used:

    * **as a node**, ``builder.add_node("solve", best_of_n(agent))``: the outer state gets the winner's writes, each
      once, and nothing else. The graph goes on by ordinary edges, by ``tools_condition``, or by the winner's own
      ``Command(goto=...)``.
    * **as an agent**, ``best_of_n(agent).invoke(input)``: takes the agent's own input and returns its full output.
    * **inside a node function**: ``return node.invoke(state)`` returns ``Writes``, which the node returns as they are;
      ``.as_agent().invoke(state)`` returns the full state.
    * ``.run(input)`` and ``.arun(input)`` return output, receipt and trajectories together.

    Args:
        agent: the agent to run, or a list of at most n agents.
        n: how many rollouts to run. The run's context can set another number: ``context={"n": 4}``.
        **options: see ``BestOfNOptions``.

    Raises:
        ConfigError: an argument has a value that is not allowed.
        AgentError: the agent cannot be run. When the node runs, also its subclass ``StateMismatchError``: the outer
            state cannot take the winner's writes.
        SelectionError: when it runs: every rollout failed, or none could be scored.
        MissingLogprobsError: when it runs with ``on_missing="raise"``: a call came back without logprobs.

    Example:
        >>> builder.add_node("solve", best_of_n(agent, n=8, selection_key="receipt"))

    Source: arXiv 2604.26173; docs/method.md section 4.
    """
    try:
        checked = Options(n=n, **options)
    except TypeError as error:
        problem = str(error).replace("Options.__init__()", "best_of_n").partition(". Did you mean")[0]  # Python 3.13
        raise ConfigError(f"{problem}; the options of best_of_n are {', '.join(Options.__slots__)}") from error
    workers = None if checked.engine is None else Workers(agent, checked.engine, checked)
    agents = [*map(_plain, agent)] if isinstance(agent, list | tuple) else _plain(agent)
    return BestOfN(Node(agents, checked, workers=workers))


def _plain(agent: Any) -> Any:
    agent = loaded(agent)
    return agent.as_agent() if isinstance(agent, BestOfN) else agent
