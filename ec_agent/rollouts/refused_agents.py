"""Refuse, before anything runs, what users easily pass instead of an agent, and tell them what to pass."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Collection
from typing import Any, get_origin, get_type_hints

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.pregel.protocol import PregelProtocol

from ec_agent.errors import AgentError

INJECTED = ("config", "runtime", "store", "writer", "previous")
"""Names of the parameters that LangGraph fills in when it calls a function; the first argument is the state."""

ANYTHING = "pass a compiled graph, a Runnable, or a function from state to state update"

AS_UPDATE = 'best_of_n(lambda state: {"messages": [(prompt | model).invoke(state)]})'
"""Example for errors: how to turn a prompt and a model into an agent."""

_MODEL = ("model", "llm", "chat_model")  # a function with only such a parameter builds an agent from a model
_MADE = re.compile(r"\b(CompiledStateGraph|CompiledGraph|StateGraph|Pregel|Runnable\w*)\b")


def refuse_mistaken(agent: Any) -> None:
    """Refuse an object that is not an agent, and say what it seems to be.

    Refused are classes, graphs that are not compiled, models, tools, sets, and functions that build an agent: such a
    function cannot be called with a state, takes a model, or has annotations that say it returns a graph. A function
    of one parameter that returns a graph can be recognised only after it has run; see ``returned_agent``.

    Raises:
        AgentError: the object is one of these.
    """
    if inspect.isclass(agent):
        raise AgentError(f"the agent is the class {agent.__name__}; pass an object made from it")
    if isinstance(agent, StateGraph):
        raise AgentError("the agent is a graph that is not compiled; pass builder.compile()")
    if isinstance(agent, list | tuple | set | frozenset):
        raise AgentError(
            f"an agent is a {type(agent).__name__} of {len(agent)}; several agents that take turns are one list of "
            f"agents, best_of_n([a, b]), and of each: {ANYTHING}"
        )
    if isinstance(agent, Runnable):
        _refuse_part(agent)
    func = agent
    if type(agent) is RunnableLambda:
        func = getattr(agent, "func", None) or getattr(agent, "afunc", None)
    if callable(func) and not isinstance(func, Runnable):
        _refuse_maker(func, () if func is agent else ("config", "run_manager"))


def returned_agent(output: Any) -> AgentError | None:
    """Return the error for a function that returned an agent instead of an update; ``None`` for any other output."""
    if not isinstance(output, Runnable | StateGraph):
        return None
    return AgentError(
        f"the agent is a function that returned a {type(output).__name__}, so it makes an agent rather than being one; "
        "call it first and pass what it returns: best_of_n(make_agent(...))"
    )


def no_update(output: Any) -> AgentError:
    """Return the error for an agent whose output is not a state update, which the outer graph needs."""
    kind = "str" if isinstance(output, str) else type(output).__name__
    said = isinstance(output, BaseMessage | str)
    rather = f'{{"messages": [...]}}, say; in place of prompt | model pass {AS_UPDATE}' if said else "{...}"
    return AgentError(f"the agent returned {kind}, not a state update; return a dict of state keys: {rather}")


def refuse_message_maker(agent: Any) -> None:
    """Refuse a sequence such as ``prompt | model``: it returns a message or a text, and a node needs a state update.

    Raises:
        AgentError: the sequence ends in a model, or in a parser that returns a model's text.
    """
    end = _part(agent, "last")
    if end is not agent and isinstance(end, BaseLanguageModel | StrOutputParser):
        what = "text" if isinstance(end, StrOutputParser) else "what the model says"
        raise AgentError(
            f"the agent is a {type(agent).__name__} that ends in {type(end).__name__}: it returns {what}, not a state "
            f"update. Pass a function that returns a dict of state keys: {AS_UPDATE}; or map it with output="
        )


def _refuse_part(agent: Runnable[Any, Any]) -> None:
    """Refuse a Runnable that is only a part of an agent."""
    inner = _part(agent, "first")
    if isinstance(inner, BaseLanguageModel):
        name = type(inner).__name__
        raise AgentError(
            f"the agent is a model ({name}), which takes messages and returns one, not a state; make an agent "
            "of it: create_agent(model, tools) of LangChain, or a function: "
            "best_of_n(lambda state: {'messages': [model.invoke(state['messages'])]})"
        )
    if isinstance(inner, BaseTool):
        raise AgentError(
            f"the agent is the tool {inner.name!r}; pass the agent that calls it: create_agent(model, [{inner.name}])"
        )


def _part(runnable: Any, end: str) -> Any:
    """Return the Runnable inside bindings, retries and fallbacks; of a sequence its ``"first"`` or ``"last"`` part."""
    if isinstance(runnable, PregelProtocol):
        return runnable
    held = (getattr(runnable, name, None) for name in ("bound", "runnable", "default", end))
    return next((_part(each, end) for each in held if isinstance(each, Runnable)), runnable)


def _refuse_maker(func: Callable[..., Any], injected: Collection[str]) -> None:
    """Refuse a function that builds an agent, or that cannot be called with a state."""
    try:
        # Look at the decorated function's own signature, not at the one of the function inside: a decorator may take a
        # state where the inner function does not. Only decorators of contextlib take whatever the inner function takes.
        passes_on = getattr(func, "__globals__", None) is vars(contextlib)
        signature = inspect.signature(func, follow_wrapped=passes_on)
    except (TypeError, ValueError):  # some functions written in C have no signature
        return
    name = getattr(func, "__name__", type(func).__name__)
    shown = "the function" if name == "<lambda>" else name
    made = "graph" if name == "<lambda>" else f"{name}(...)" if signature.parameters else f"{name}()"
    if _is_async(func) and name != "<lambda>":
        made = f"await {made}"
    takes = signature.parameters
    try:
        signature.bind(None, **{each: None for each in injected or INJECTED if each in takes})
    except TypeError:
        raise AgentError(
            f"{shown} takes {signature if takes else 'nothing'}, but an agent that is a function takes the state first "
            f"(then, optionally, {', '.join(INJECTED)}). If it makes an agent, pass what it makes: best_of_n({made})"
        ) from None
    if takes.keys() <= {"task", *_MODEL} and takes.keys() & set(_MODEL):
        reason = f"takes {signature}, a model and no state"
    elif _makes(func):
        reason = "says that it returns a graph or Runnable"
    else:
        return
    raise AgentError(
        f"{shown} {reason}, so it makes an agent rather than being one; pass what it makes: best_of_n({made})"
    )


def _is_async(func: Any) -> bool:
    while isinstance(func, functools.partial):
        func = func.func
    return inspect.iscoroutinefunction(func if inspect.isroutine(func) else func.__call__)


def _makes(func: Callable[..., Any]) -> bool:
    """Whether the function's annotations say that it returns an agent."""
    plain: Any = func
    while isinstance(plain, functools.partial):
        plain = plain.func
    plain = plain if inspect.isroutine(plain) else plain.__call__
    said = getattr(plain, "__annotations__", {}).get("return")
    try:
        returned = get_type_hints(plain).get("return", said)
    except Exception:  # annotations may use names that exist only for type checkers
        returned = said
    kind = get_origin(returned) or returned
    if isinstance(kind, str):
        return _MADE.match(kind.rpartition(".")[2] if "[" not in kind else kind) is not None
    return inspect.isclass(kind) and issubclass(kind, Runnable | StateGraph)
