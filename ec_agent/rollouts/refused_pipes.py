"""Refuse Runnables such as ``prepare | graph``: they return the graph's whole state, and a node needs an update."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import Runnable, RunnableSequence
from langgraph.pregel import Pregel
from langgraph.pregel.protocol import PregelProtocol

from ec_agent.errors import AgentError

NEW_PART = (
    'best_of_n(lambda state: {"messages": [m for m in pipe.invoke(state)["messages"] if m not in state["messages"]]})'
)


def graph_handed_on(runnable: Any) -> Any:
    """Return a graph inside a Runnable whose whole state goes to the Runnable's output or next step; else ``None``."""
    if isinstance(runnable, PregelProtocol):
        # An entrypoint is a graph too, but it returns what its function returns, not a state.
        return None if isinstance(runnable, Pregel) and isinstance(runnable.output_channels, str) else runnable
    held = [getattr(runnable, name, None) for name in ("bound", "runnable", "default")]
    held += getattr(runnable, "fallbacks", None) or []
    held += [each for _, each in getattr(runnable, "branches", None) or []]
    held += runnable.steps if isinstance(runnable, RunnableSequence) else []
    held += dict(getattr(runnable, "alternatives", None) or {}).values()
    found = (graph_handed_on(each) for each in held if isinstance(each, Runnable))
    return next((graph for graph in found if graph is not None), None)


def check_pipe(runnable: Any) -> None:
    """Refuse a Runnable that contains a graph and returns that graph's whole state.

    Raises:
        AgentError: the Runnable contains such a graph.
    """
    if (graph := graph_handed_on(runnable)) is not None:
        raise AgentError(
            f"the agent is a {type(runnable).__name__} with the graph {graph.get_name()!r} in it, which "
            "returns its whole state, not an update; pass the graph itself, or call the pipe in a function that "
            f"returns the new part: {NEW_PART}"
        )
