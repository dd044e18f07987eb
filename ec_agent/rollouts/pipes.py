"""Runnables and functions with a graph in them: what returns that graph's whole state is no update."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnableSequence
from langgraph.pregel import Pregel
from langgraph.pregel.protocol import PregelProtocol

from ec_agent.errors import AgentError


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
            "returns its whole state, not an update; pass the graph itself, or call it in a function that returns the "
            "new part: best_of_n(lambda state: {...})"
        )


def calls_a_graph(function: Any) -> bool:
    """Whether a function, or one in a Runnable, calls a graph that can be heard while it runs."""
    graphs = [each for each in _reached(function) if isinstance(each, PregelProtocol)]
    local = [graph for graph in graphs if isinstance(graph, Pregel)]
    within = [sub for graph in local for _, sub in graph.get_subgraphs(recurse=True)]
    # One that runs elsewhere would be asked to stream what is heard here.
    here = all(isinstance(each, Pregel) for each in (*graphs, *within))
    return here and any(graph_handed_on(graph) is not None for graph in graphs)


def _reached(function: Any) -> Iterator[Any]:
    """What a function refers to, and what that refers to, as far as functions and Runnables go."""
    known: set[int] = set()
    left = [function]
    while left:
        each = left.pop()
        if id(each) in known or len(known) > _MANY:
            continue
        known.add(id(each))
        yield each
        left += _referred(each)


def _referred(thing: Any) -> list[Any]:
    if isinstance(thing, PregelProtocol):
        return []
    if isinstance(thing, FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or () if cell != _EMPTY]
        named = [thing.__globals__[name] for name in _names(thing.__code__) if name in thing.__globals__]
        return [each for each in (*cells, *named) if callable(each) or isinstance(each, Runnable)]
    if isinstance(thing, MethodType):
        return [thing.__func__, *_held(thing.__self__)]
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, RunnableLambda) and type(thing) is not RunnableLambda:  # a best_of_n, say
        return []
    if isinstance(thing, RunnableParallel):
        return list(thing.steps__.values())
    return _held(thing) if isinstance(thing, Runnable) or not inspect.isroutine(thing) else []


def _held(thing: Any) -> list[Any]:
    """What an object holds, as far as it may lead to a graph."""
    values: list[Any] = []
    for value in list(getattr(thing, "__dict__", {}).values()):
        values += value if isinstance(value, list | tuple) else [value]
    call = [] if isinstance(thing, Runnable | type) else [vars(type(thing)).get("__call__")]
    return [each for each in (*values, *call) if isinstance(each, Runnable | FunctionType | MethodType | partial)]


def _names(code: CodeType) -> list[str]:
    within = [name for each in code.co_consts if isinstance(each, CodeType) for name in _names(each)]
    return [*code.co_names, *within]


_EMPTY = CellType()
_MANY = 1_000
