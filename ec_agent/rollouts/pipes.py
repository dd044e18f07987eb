"""Runnables with a graph in them: what hands that graph's whole state on gives no update."""

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
    """The graph whose state passes through a Runnable, to its end or to what comes after; ``None`` without one."""
    if isinstance(runnable, PregelProtocol):
        # An entrypoint returns what its function returns.
        return None if isinstance(runnable, Pregel) and isinstance(runnable.output_channels, str) else runnable
    held = [getattr(runnable, name, None) for name in ("bound", "runnable", "default")]
    held += getattr(runnable, "fallbacks", None) or []
    held += [each for _, each in getattr(runnable, "branches", None) or []]
    held += runnable.steps if isinstance(runnable, RunnableSequence) else []
    held += dict(getattr(runnable, "alternatives", None) or {}).values()
    found = (graph_handed_on(each) for each in held if isinstance(each, Runnable))
    return next((graph for graph in found if graph is not None), None)


def check_pipe(runnable: Any) -> None:
    """Refuse a Runnable that hands a graph's state on.

    Raises:
        AgentError: it does.
    """
    if (graph := graph_handed_on(runnable)) is not None:
        raise AgentError(
            f"the agent is a {type(runnable).__name__} with the graph {graph.get_name()!r} in it, which "
            "returns its whole state, not an update; pass the graph itself, or call the pipe in a function that "
            f"returns the new part: {NEW_PART}"
        )
