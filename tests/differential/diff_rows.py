"""The table: one row an agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diff_cast import Cast
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

GO_ON = object()  # an answer to a static breakpoint: the run is taken up with no input


@dataclass(frozen=True)
class Turn:
    """One input, and the answers to what is asked in the turn, in order.

    An answer is ``GO_ON``, a resume value, or a function from the pending interrupts to a resume value.
    """

    input: Callable[[], Any]
    answers: Sequence[Any] = ()


def said(text: str, *answers: Any) -> Turn:
    return Turn(lambda: {"messages": [HumanMessage(text)]}, answers)


def given(*answers: Any, **state: Any) -> Turn:
    """A turn for an agent with another state; callables are called, for values that may not be shared."""
    return Turn(lambda: {key: value() if callable(value) else value for key, value in state.items()}, answers)


THREE_TURNS = (said("one"), said("two"), said("three"))


@dataclass(frozen=True)
class Row:
    """One agent of the table.

    Attributes:
        name: of the row.
        build: makes the agent from a cast and what a graph is compiled with.
        turns: what is asked, on one thread.
        state: schema of the graph around it, where it is a node.
        around: makes that graph, where one node is not enough: from the builder and the node.
        ways: how it can be run: ``"alone"`` is as an agent, on a thread; ``"node"`` in a graph around.
        sync, asynchronous: the APIs that the agent has.
        store: whether it is given one.
        context: the run's context.
        streams: whether it has streams to compare.
        differs: the names of the differences that are right, by way; each must be seen.
        options: for ``best_of_n``.
        config: for the run.
    """

    name: str
    build: Callable[..., Any]
    turns: Sequence[Turn] = THREE_TURNS
    state: Any = MessagesState
    around: Callable[[Any, Any], None] | None = None
    ways: Sequence[str] = ("alone", "node")
    sync: bool = True
    asynchronous: bool = True
    store: bool = False
    context: Any = None
    differs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    streams: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def agent(self, cast: Cast, **compiled: Any) -> Any:
        return self.build(cast, **compiled)

    def graph_around(self, node: Any, **compiled: Any) -> Any:
        builder: Any = StateGraph(self.state, context_schema=type(self.context) if self.context is not None else None)
        if self.around is not None:
            self.around(builder, node)
        else:
            builder.add_node("solve", node)
            builder.add_edge(START, "solve")
            builder.add_edge("solve", END)
        return builder.compile(**compiled)


class Table(dict[str, Row]):
    """Rows by name; ``@table.row(...)`` makes one of a function that builds an agent."""

    def row(self, **details: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def add(build: Callable[..., Any]) -> Callable[..., Any]:
            name = build.__name__
            assert name not in self, f"two rows are called {name}"
            self[name] = Row(name, build, **details)
            return build

        return add
