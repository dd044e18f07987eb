"""``best_of_n``: the node, and the agent, that goes on with the rollout its own token entropies trust most."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Unpack

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, get_config_list
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from ec_agent.capture.recorder import current_recorder
from ec_agent.errors import AgentError, ConfigError, SelectionError
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.choosing import candidate_of
from ec_agent.rollouts.fanout import fan_out_graph
from ec_agent.rollouts.internals import (
    ROOT,
    RUNTIME,
    config_here,
    has_node,
    inside_graph,
    outer_channels,
    unsaved,
)
from ec_agent.rollouts.messages import rebuilt, with_id
from ec_agent.rollouts.options import BestOfNOptions, Options, whole
from ec_agent.rollouts.record import Record
from ec_agent.rollouts.rollout import Emit, Listener, Session, listener
from ec_agent.rollouts.selection import Selection
from ec_agent.rollouts.writes import Writes, check_fit
from ec_agent.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class BestOfNResult:
    """Everything a selection leaves.

    Attributes:
        output: the winner's output, as the wrapped agent alone would have returned it.
        selection: the receipt.
        trajectories: the LLM calls of every rollout, in index order; empty for one that made none.
        final_actions: the final action of every rollout, in index order; ``None`` for a failed one.
    """

    output: Any
    selection: Selection
    trajectories: tuple[Trajectory, ...]
    final_actions: tuple[Any, ...]


class BestOfN(RunnableLambda[Any, Any]):
    """A node and an agent; made by :func:`best_of_n`, which documents it."""

    def __init__(self, agent: Any, options: Options, whole: bool = False) -> None:
        self._agent = Agent(agent, whole)
        self._options = options
        self._fan_out = fan_out_graph(self._agent)
        super().__init__(self.invoke, afunc=self.ainvoke, name="best_of_n")

    def __repr__(self) -> str:
        return f"best_of_n({self._agent.name}, n={self._options.n}, selector={self._options.selector.name})"

    @property
    def deps(self) -> list[Runnable[Any, Any]]:
        """The fan-out graph, so that drawings show it."""
        return [self._fan_out]

    # As a node: writes.

    def _invoke_node(self, state: Any, config: RunnableConfig) -> Any:
        if self._agent.async_only:
            raise AgentError(f"the agent {self._agent.name!r} is an async function; use ainvoke, arun or astream")
        session = self._open(state, config)
        try:
            done = self._fan_out.invoke(_START, session.config, context=session.question)
        except SelectionError:
            if session.question.ran:
                raise
            # A resumed run meets what failed before it: the outage may be over, so the question is asked afresh.
            done = self._fan_out.invoke(_START, unsaved(session.config), context=session.question)
        return self._close(session, done, config)

    async def _ainvoke_node(self, state: Any, config: RunnableConfig) -> Any:
        session = self._open(state, config)
        try:
            done = await self._fan_out.ainvoke(_START, session.config, context=session.question)
        except SelectionError:
            if session.question.ran:
                raise
            done = await self._fan_out.ainvoke(_START, unsaved(session.config), context=session.question)
        return self._close(session, done, config)

    def _open(self, state: Any, config: RunnableConfig) -> _Opened:
        conf = config.get("configurable") or {}
        runtime: Runtime[Any] | None = conf.get(RUNTIME)
        context = runtime.context if runtime else None
        # What the run's context says is for the outermost: below it, n would multiply.
        n = _n_of(context, self._options.n) if current_recorder.get() is None else self._options.n
        outer = outer_channels(config)
        check_fit(self._agent, outer, self._options.selection_key, self._options.output is not None)
        known = self._agent.input_of(state)
        question = Session(
            agent=self._agent,
            options=self._options,
            n=n,
            # Ids come before the fan-out: a message without one would be another message in every rollout.
            known=rebuilt(known, with_id) if isinstance(known, dict) else known,
            outer=outer,
            context=context,
            store=runtime.store if runtime else None,
            emit=_emitter(runtime),
            max_concurrency=config.get("max_concurrency"),
        )
        return _Opened(question, {**config, "max_concurrency": self._options.limits.max_concurrency or n})

    def _close(self, opened: _Opened, done: Mapping[str, Any], config: RunnableConfig) -> Writes:
        options = opened.question.options
        selection = Selection.from_dict(done["selection"])
        records: list[Record] = sorted(done["records"], key=lambda record: record["index"])
        winner = records[selection.winner]
        candidates = [candidate_of(record, options) for record in records]
        _hand_over(selection, candidates, winner["index"])
        goto = list(winner["goto"])
        if options.route is not None:
            chosen = options.route(candidates[winner["index"]])
            goto = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
            if not all(isinstance(step, str | Send) for step in goto):
                raise ConfigError(f"route= returned {chosen!r}; return a node's name, a Send, or a list of these")
            self._check_destinations(goto, config)
        pairs = [(key, value) for key, value in winner["writes"]]
        if options.selection_key is not None and ROOT not in opened.question.outer:
            pairs.append((options.selection_key, selection.to_dict()))
        return Writes.of(pairs, goto)

    def _check_destinations(self, goto: list[Any], config: RunnableConfig) -> None:
        nowhere = [name for step in goto if not has_node(config, name := getattr(step, "node", step))]
        if nowhere:  # LangGraph would end the run there without a word
            raise ConfigError(f"route= leads to {nowhere}, which the graph does not have; add the nodes, or use END")

    # As an agent: the agent's own input and output.

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Inside a graph the winner's :class:`Writes`; outside one the wrapped agent's full output."""
        config = config_here(config)
        if inside_graph(config):
            return self._invoke_node(input, config)
        return self.run(input, config, **kwargs).output

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Inside a graph the winner's :class:`Writes`; outside one the wrapped agent's full output."""
        config = config_here(config)
        if inside_graph(config):
            return await self._ainvoke_node(input, config)
        return (await self.arun(input, config, **kwargs)).output

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Stream the run as a graph streams: ``stream_mode="custom"`` shows the rollouts' progress.

        Inside a graph, where nodes are streamed when somebody listens, the winner's :class:`Writes` in one part.
        """
        config = config_here(config)
        if inside_graph(config):
            yield self._invoke_node(input, config)
        else:
            yield from self.as_agent().stream(input, config, **kwargs)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """The async twin of :meth:`stream`."""
        config = config_here(config)
        if inside_graph(config):
            yield await self._ainvoke_node(input, config)
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
        """Several inputs; outside a graph side by side, inside one in turn.

        There, what a resumed run finds again is told apart by order alone.
        """
        if not inside_graph(config_here(None)):
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        done: list[Any] = []
        for each, its in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            try:
                done.append(self.invoke(each, its, **kwargs))
            except Exception as error:
                if not return_exceptions:
                    raise
                done.append(error)
        return done

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Any]:
        """The async twin of :meth:`batch`."""
        if not inside_graph(config_here(None)):
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        done: list[Any] = []
        for each, its in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            try:
                done.append(await self.ainvoke(each, its, **kwargs))
            except Exception as error:
                if not return_exceptions:
                    raise
                done.append(error)
        return done

    def run(
        self, input: Any, config: RunnableConfig | None = None, *, on_event: Emit | None = None, **kwargs: Any
    ) -> BestOfNResult:
        """Run, and return output, receipt and trajectories together.

        Args:
            input: the wrapped agent's input.
            config: the run's config; ``thread_id`` continues a thread if the agent has a checkpointer.
            on_event: called with each progress event, the same as on the custom stream; from the rollouts'
                threads in a sync run.
            **kwargs: what a compiled graph's ``invoke`` takes besides, ``context=`` above all.

        Raises:
            SelectionError: every rollout failed, or none could be scored.
        """
        here = Listener(on_event)
        token = listener.set(here)
        try:
            output = self.as_agent().invoke(input, config, **kwargs)
        finally:
            listener.reset(token)
        return BestOfNResult(output, *here.left)

    async def arun(
        self, input: Any, config: RunnableConfig | None = None, *, on_event: Emit | None = None, **kwargs: Any
    ) -> BestOfNResult:
        """The async twin of :meth:`run`."""
        here = Listener(on_event)
        token = listener.set(here)
        try:
            output = await self.as_agent().ainvoke(input, config, **kwargs)
        finally:
            listener.reset(token)
        return BestOfNResult(output, *here.left)

    def as_agent(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """A compiled graph with the wrapped agent's own schema: its input, its full output, its checkpointer."""
        return self._as_agent

    @cached_property
    def _as_agent(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        drawn = self._agent.drawn
        if drawn is None:
            builder: Any = StateGraph(object)  # a root state: whatever the function takes
            inner, compiled_with = self._options, {}
        else:
            made = drawn.builder
            builder = StateGraph(
                made.state_schema,
                context_schema=made.context_schema,
                input_schema=made.input_schema,
                output_schema=made.output_schema,
            )
            known = self._options.selection_key in drawn.channels
            inner = self._options if known else replace(self._options, selection_key=None)
            compiled_with = {"checkpointer": drawn.checkpointer, "store": drawn.store, "cache": drawn.cache}
        builder.add_node("best_of_n", _Alone(self._agent.original, inner, whole=True))
        builder.add_edge(START, "best_of_n")
        builder.add_edge("best_of_n", END)
        compiled: CompiledStateGraph[Any, Any, Any, Any] = builder.compile(name=self._agent.name, **compiled_with)
        return compiled


class _Alone(BestOfN):
    """The node inside :meth:`BestOfN.as_agent`: a destination is for the graph around that agent, if any."""

    def _check_destinations(self, goto: list[Any], config: RunnableConfig) -> None:
        """The graph around is not in sight here."""

    def _close(self, opened: _Opened, done: Mapping[str, Any], config: RunnableConfig) -> Any:
        writes = super()._close(opened, done, config)
        goto = [command for command in writes if command.goto]
        pairs = [pair for command in writes for pair in command._update_as_tuples()]
        nested = "|" in str(config["configurable"].get("checkpoint_ns") or "")
        if goto and nested:
            return Command(graph=Command.PARENT, update=pairs, goto=goto[0].goto)
        return Writes.of(pairs)


@dataclass(frozen=True, slots=True)
class _Opened:
    question: Session
    config: RunnableConfig


_START: dict[str, Any] = {"records": [], "selection": None}


def _hand_over(selection: Selection, candidates: list[Any], winner: int) -> None:
    if (here := listener.get()) is not None:
        trajectories = tuple(candidate.trajectory for candidate in candidates)
        here.left = (selection, trajectories, tuple(candidate.final_action for candidate in candidates))
    # Inside another rollout only the winner's calls were, in effect, made by that rollout; all were paid for.
    if (around := current_recorder.get()) is not None:
        for candidate in candidates:
            around.adopt(candidate.trajectory.calls, counted=candidate.index == winner)


def _emitter(runtime: Runtime[Any] | None) -> Emit:
    """Progress events go to the custom stream and to whoever called ``run(on_event=...)``."""
    write = runtime.stream_writer if runtime else lambda _: None
    on_event = here.on_event if (here := listener.get()) is not None else None

    def emit(event: Mapping[str, Any]) -> None:
        write(event)
        if on_event is not None:
            on_event(event)

    return emit


def _n_of(context: Any, default: int) -> int:
    """``n`` from the run's context, if it has one."""
    n = context.get("n") if isinstance(context, Mapping) else getattr(context, "n", None)
    return default if n is None else whole("the run context's n", n)


def best_of_n(agent: Any, n: int = 8, **options: Unpack[BestOfNOptions]) -> BestOfN:
    """Run ``agent`` n times on the same input and go on with the rollout its own token entropies trust most.

    Accepted agents: any compiled LangGraph graph (``create_agent`` agents, hand-written graphs with any state
    schema), a function or coroutine function from state to state update, or such a Runnable.

    What comes back depends on where it is used:

    * **as a node**, ``builder.add_node("solve", best_of_n(agent))``: the outer state receives the winner's
      writes and nothing else, each once. Ordinary edges, ``tools_condition``, or the winner's own
      ``Command(goto=...)`` lead on.
    * **as an agent**, ``best_of_n(agent).invoke(input)``: the wrapped agent's own input and full output.
    * **inside a node function**: ``return node.invoke(state)`` returns :class:`Writes` for the node to return
      as they are; ``.as_agent().invoke(state)`` returns the full state.
    * ``.run(input)`` / ``.arun(input)``: output, receipt and trajectories together.

    Args:
        agent: what to run.
        n: how many rollouts. The run's context may say otherwise, as ``context={"n": 4}``.
        **options: see :class:`BestOfNOptions`.

    Raises:
        ConfigError: an argument has a value it cannot have.
        AgentError: the agent cannot be run. When run, its subclass ``StateMismatchError``: the outer state
            cannot take the winner's writes.
        SelectionError: when run: every rollout failed, or none could be scored.
        MissingLogprobsError: when run with ``on_missing="raise"``: a call came back without logprobs.

    Example:
        >>> builder.add_node("solve", best_of_n(agent, n=8, selection_key="receipt"))

    Source: arXiv 2604.26173; docs/method.md section 4.
    """
    try:
        checked = Options(n=n, **options)
    except TypeError as error:
        problem = str(error).replace("Options.__init__()", "best_of_n")
        raise ConfigError(f"{problem}; the options of best_of_n are {', '.join(Options.__slots__)}") from error
    return BestOfN(agent.as_agent() if isinstance(agent, BestOfN) else agent, checked)
