"""Bring every kind of agent (graph, Runnable, function) into one form: a graph that can be streamed and read."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool
from langgraph.channels.base import BaseChannel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel
from langgraph.pregel.protocol import PregelProtocol
from langgraph.types import Command
from typing_extensions import TypedDict

from ec_agent.errors import AgentError
from ec_agent.insides.box import input_of_box, shortened
from ec_agent.insides.langgraph import (
    BOX_IN,
    BOX_NODE,
    BOX_OUT,
    BREAKPOINTS,
    ROOT,
    Channel,
    breakpoints_in,
    pairs_of,
    rescues,
    with_private_keys,
)
from ec_agent.rollouts.messages import state_values
from ec_agent.rollouts.refused_agents import ANYTHING, INJECTED, refuse_mistaken, returned_agent
from ec_agent.rollouts.refused_pipes import check_pipe
from ec_agent.rollouts.untracked_values import Sieve
from ec_agent.support.checks import repr_of

Writes = list[tuple[str, Any]]


class Agent:
    """The agent that ``best_of_n`` runs.

    A function is put into a small graph of one node, the box, so that it can be streamed as other agents are.

    Args:
        agent: what the user gave.
        whole: whether the outer graph gets all of the agent's state, and not only its output schema's keys: so it is
            in ``as_agent()``, which stands for the agent itself.

    Attributes:
        original: what the user gave.
        name: the agent's name.
        state_keys: all keys of its state.
        drawn: the user's own graph, for drawings; ``None`` for a function.
        channels: its channels that the outer graph may receive, by key; ``None`` for a function, which has no state of
            its own.
        needs_saver: whether one of its subgraphs is compiled with ``checkpointer=True``.
        tools: the tools of its tool nodes, by name.
        rescues: whether any of its nodes has an error handler.
        sieve: removes values from its checkpoints that may not be saved.
        async_only: whether it is an async function, which has no sync form.

    Raises:
        AgentError: the object is no agent, or returns its whole state where an update is needed.
    """

    def __init__(self, agent: Any, whole: bool = False) -> None:
        self.original = agent
        self.drawn: CompiledStateGraph[Any, Any, Any, Any] | None = None
        self.channels: Mapping[str, Channel] | None = None
        self.needs_saver = self.rescues = False
        self._lasting: Any = None
        self.tools: dict[str, BaseTool] = {}
        self.sieve = Sieve({})
        self.async_only = False
        refuse_mistaken(agent)
        if isinstance(agent, CompiledStateGraph) and not isinstance(agent.output_channels, str):
            self.drawn = agent
            self.name = agent.get_name()
            self.state_keys: list[str] = list(agent.stream_channels_list)
            self._graph: Any = _wide(agent) if whole else agent
            made = agent.builder
            self.input_keys = [*made.channels, *made.managed] if whole else list(made.schemas[made.input_schema])
            self.channels = {
                key: channel
                for key in (self.state_keys if whole else agent.output_channels)
                if isinstance(channel := agent.channels.get(key), BaseChannel)
            }
            graphs = _graphs_in(agent)
            self.needs_saver = any(sub.checkpointer is True for sub in graphs.values())
            self.tools = {tool.name: tool for graph in graphs.values() for tool in _tools_in(graph)}
            self.sieve = Sieve(graphs)
            self.rescues = rescues(agent)
        elif isinstance(agent, Pregel):
            self._take_graph(agent)
        elif isinstance(agent, PregelProtocol):
            raise AgentError(
                "a remote graph returns its whole state, not an update; wrap it in a function that returns only "
                "the new part: best_of_n(lambda state: {...})"
            )
        elif isinstance(agent, Runnable):
            if isinstance(_innermost(agent), PregelProtocol):
                raise AgentError(
                    f"a {type(agent).__name__} around a graph returns its whole state, not an update; pass the graph "
                    "itself (retries belong on its nodes or on the node that best_of_n becomes)"
                )
            check_pipe(agent)
            self._take_function(agent.invoke, agent.ainvoke, agent.get_name())
        elif callable(agent):
            self._take_callable(agent)
        elif isinstance(agent, str):
            raise AgentError(
                f'the agent is {repr_of(agent)}, which names no place; write "module:name", as "my_module:agent"'
            )
        else:
            raise AgentError(f"the agent is of type {type(agent).__name__}; {ANYTHING}")

    def _take_graph(self, agent: Pregel[Any, Any, Any, Any]) -> None:
        if agent.checkpointer is not False:  # a second box, in which the graph remembers over turns; see graph()
            lasting = agent.copy({"checkpointer": True})
            self._take_function(_stopping(lasting.invoke), _stopping(lasting.ainvoke), agent.get_name())
            self._lasting = self._graph
        self._take_function(_stopping(agent.invoke), _stopping(agent.ainvoke), agent.get_name())

    def _take_function(self, func: Callable[..., Any], afunc: Callable[..., Any], name: str) -> None:
        def call(state: Any, config: RunnableConfig) -> dict[str, Any]:
            return {BOX_OUT: func(state[BOX_IN], config)}

        async def acall(state: Any, config: RunnableConfig) -> dict[str, Any]:
            return {BOX_OUT: await afunc(state[BOX_IN], config)}

        self._box(RunnableLambda(call, afunc=acall, name=name), name)

    def _take_callable(self, func: Callable[..., Any]) -> None:
        # functools.wraps keeps the signature, by which LangGraph injects config, runtime, store and writer.
        name = getattr(func, "__name__", type(func).__name__)
        plain = func if inspect.isroutine(func) or isinstance(func, functools.partial) else func.__call__  # type: ignore[operator]
        wrapper: Callable[..., Any]
        if inspect.iscoroutinefunction(plain):
            self.async_only = True

            @functools.wraps(plain)
            async def wrapper(state: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
                return {BOX_OUT: await plain(state[BOX_IN], *args, **kwargs)}
        else:

            @functools.wraps(plain)
            def wrapper(state: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
                return {BOX_OUT: plain(state[BOX_IN], *args, **kwargs)}

        # Drop the other hints: they describe the user's state, and LangGraph would take them for the box's.
        wrapper.__annotations__ = {k: v for k, v in getattr(plain, "__annotations__", {}).items() if k in INJECTED}
        self._box(wrapper, name)

    def _box(self, node: Any, name: str) -> None:
        builder = StateGraph(_Box)
        builder.add_node(BOX_NODE, node, input_schema=_Box)
        builder.add_edge(START, BOX_NODE)
        builder.add_edge(BOX_NODE, END)
        self.name = name
        self.state_keys = [BOX_OUT]
        self._graph = shortened(builder.compile(name=name))

    @property
    def is_function(self) -> bool:
        """Whether the agent has no state schema of its own."""
        return self.drawn is None

    @property
    def has_nodes(self) -> bool:
        """Whether it is a graph, whose nodes can have breakpoints."""
        return isinstance(self.original, Pregel)

    def breakpoints(self) -> list[tuple[str, Any]]:
        """Return the breakpoints that the agent and its subgraphs were compiled with, as pairs of kind and nodes."""
        graphs = (_graphs_in(self.original) if isinstance(self.original, Pregel) else {}).values()
        kinds = ("interrupt_before", "interrupt_after")
        found = [(kind, getattr(graph, f"{kind}_nodes")) for graph in graphs for kind in kinds]
        return [(kind, nodes if nodes == "*" else list(nodes)) for kind, nodes in found if nodes]

    def graph(self, store: Any, saver: Any, lasting: bool = False) -> Any:
        """Return the graph to stream, with this store and saver instead of the agent's own, and without a node cache.

        ``lasting`` concerns a graph in a box: whether its state lasts over the turns of a thread.
        """
        graph = self._lasting if lasting and self._lasting is not None else self._graph
        # With LangGraph's node cache, rollouts would repeat one another's nodes, and cached writes are not streamed.
        own = copy.copy(graph)  # the graph's own ``copy`` would check all its nodes and edges again
        own.checkpointer, own.cache, own.store = saver, None, store
        return own

    @property
    def lasts(self) -> bool:
        """Whether it was compiled with ``checkpointer=True``, so that its state lasts over the turns of a thread."""
        return self.has_nodes and self.original.checkpointer is True

    @property
    def remembers(self) -> bool:
        """Whether it, or a graph in it, keeps a state of its own over the turns of a thread."""
        return self.needs_saver or self.lasts or self._lasting is not None

    @property
    def store(self) -> Any:
        """The store that it was compiled with; ``None`` without one."""
        return getattr(self._graph, "store", None)

    def context_of(self, context: Any) -> Any:
        """Return the run's context without ``n``, which sets the number of rollouts and is not for the agent.

        ``n`` stays if the agent's own context schema has it.
        """
        schema = getattr(self._graph, "context_schema", None)
        if isinstance(context, Mapping) and schema is not None and "n" not in getattr(schema, "__annotations__", {}):
            return {key: value for key, value in context.items() if key != "n"}
        return context

    def input_of(self, state: Any) -> Any:
        """Return the keys of the outer state that the agent takes as input. A function gets the whole state.

        Raises:
            AgentError: ``state`` is not a state.
        """
        if self.is_function:
            return state
        values = state_values(state)
        if values is None:
            raise AgentError(
                f"the input is of type {type(state).__name__}; give the agent's state, such as {{'messages': [...]}}"
            )
        if not isinstance(state, Mapping):  # read an object as LangGraph does: fields left at their defaults are absent
            values = dict(pairs_of(Command(update=state)))
        return {key: value for key, value in values.items() if key in self.input_keys}

    def boxed(self, known: Any) -> Any:
        """Turn what ``input_of`` returned into the input of the graph that is streamed."""
        return input_of_box(known) if self.is_function else known

    def writes_of(self, writes: Writes) -> tuple[Writes, list[Any]]:
        """Return the rollout's writes by state key, and the nodes to go to next, which only a function may name."""
        if not self.is_function:
            return writes, []
        return update_and_goto(writes[-1][1]) if writes else ([], [])


def update_of(writes: Writes) -> Any:
    """Turn writes into one update: a dict of state keys, or the value itself for a state without keys."""
    return writes[0][1] if len(writes) == 1 and writes[0][0] == ROOT else dict(writes)


def commands(output: Any) -> bool:
    """Whether a node's return value is a ``Command``, or a list that contains one."""
    parts = output if isinstance(output, list | tuple) else [output]
    return any(isinstance(part, Command) for part in parts)


def update_and_goto(output: Any) -> tuple[Writes, list[Any]]:
    """Split a node's return value into writes and the nodes to go to next.

    Raises:
        AgentError: the value is an agent.
    """
    if output is None:
        return [], []
    if (mistaken := returned_agent(output)) is not None:
        raise mistaken
    if isinstance(output, Command):
        writes = pairs_of(output) if output.update else []
        goto = output.goto if isinstance(output.goto, list | tuple) else [output.goto]
        return writes, list(goto)
    if commands(output):
        parts = [update_and_goto(item) for item in output]
        return [w for writes, _ in parts for w in writes], [g for _, goto in parts for g in goto]
    if state_values(output) is None or isinstance(output, BaseMessage):  # a message is a pydantic model, but no state
        return [(ROOT, output)], []
    return pairs_of(Command(update=output)), []


_Box = TypedDict("_Box", {BOX_IN: Any, BOX_OUT: Any}, total=False)  # type: ignore[misc]  # the keys are constants


def _innermost(runnable: Any) -> Any:
    """Return the Runnable inside bindings, retries and fallbacks."""
    while (held := getattr(runnable, "bound", None) or getattr(runnable, "runnable", None)) is not None:
        runnable = held
    return runnable


def _stopping(invoke: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a boxed graph's ``invoke``, so that breakpoints given at run time reach that graph and none inside it."""

    def call(state: Any, config: RunnableConfig) -> Any:
        within: RunnableConfig = {**config, "configurable": {**config["configurable"], BREAKPOINTS: None}}
        return invoke(state, within, **breakpoints_in(config))

    return call


def _wide(agent: CompiledStateGraph[Any, Any, Any, Any]) -> Any:
    """Return the agent with all keys of its state as input keys.

    On a thread, a turn goes on from the state of the last one, which has more keys than the agent's input schema.
    """
    builder = copy.copy(agent.builder)
    builder.schemas = dict(builder.schemas)
    builder.input_schema = with_private_keys(builder, agent.builder)
    return agent.copy({"nodes": {**agent.nodes, START: builder.compile().nodes[START]}})


def _tools_in(graph: Pregel[Any, Any, Any, Any]) -> Iterable[BaseTool]:
    for node in graph.nodes.values():
        if isinstance(node.bound, ToolNode):
            yield from node.bound.tools_by_name.values()


def _graphs_in(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Pregel[Any, Any, Any, Any]]:
    """Return the graph and all its subgraphs, by namespace; the graph's own is empty."""
    nested = {name: sub for name, sub in graph.get_subgraphs(recurse=True) if isinstance(sub, Pregel)}
    return {"": graph, **nested}
