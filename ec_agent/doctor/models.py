"""The chat models inside an agent: in its nodes, bindings and tools, and in what its functions refer to."""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.base import RunnableBindingBase
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from ec_agent.doctor.chat_model import unbound
from ec_agent.errors import ConfigError

MOST_DEEP = 24
MOST_OBJECTS = 20_000
# Objects of these are no part of an agent, and lead far.
_FOREIGN = frozenset({*sys.stdlib_module_names, "numpy", "openai", "httpx", "httpx2", "pydantic", "pydantic_core"})
# Of functions of these, what they close over may hold a model; their globals are a library.
_LIBRARIES = frozenset({"langchain", "langchain_core", "langgraph", "ec_agent", *_FOREIGN})
_PLAIN = str | bytes | int | float | complex | bool | type | None


def models_of(agent: Any) -> list[Any]:
    """The chat models an agent may call, each once, in the order in which they are met.

    Looked into: compiled graphs and the graphs, tools and functions in them; bindings, sequences and other
    Runnables; what functions close over, and the globals they name; the attributes of objects met that way. Not seen:
    models made while the agent runs, and those behind a network.

    Args:
        agent: anything ``best_of_n`` takes.

    Returns:
        Chat models, and bindings of chat models with what is bound to them.
    """
    found: list[Any] = []
    seen: dict[int, Any] = {}  # the objects themselves: one that is freed could pass its id on
    known: list[tuple[BaseChatModel, dict[str, Any]]] = []
    waiting = deque([(agent, 0)])
    while waiting and len(seen) < MOST_OBJECTS:
        thing, depth = waiting.popleft()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, BaseChatModel | RunnableBindingBase):
            model = _model_in(thing)
            if model is not None:
                if not any(model[0] is other[0] and model[1] == other[1] for other in known):
                    known.append(model)
                    found.append(thing)
                continue
        if depth < MOST_DEEP:
            waiting.extend((part, depth + 1) for part in _parts(thing))
    return found


def _model_in(thing: Any) -> tuple[BaseChatModel, dict[str, Any]] | None:
    try:
        model, kwargs, _ = unbound(thing)
    except ConfigError:
        return None
    return model, kwargs


def _parts(thing: Any) -> Iterator[Any]:
    """What an object is made of, as far as it may lead to a model."""
    if isinstance(thing, Pregel):
        for node in thing.nodes.values():
            yield from (node.bound, *node.subgraphs)
    elif isinstance(thing, ToolNode):
        yield from thing.tools_by_name.values()
        yield from _attributes(thing)
    elif isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        yield from thing
    elif isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, FunctionType):
        yield from _of_function(thing)
    elif not isinstance(thing, ModuleType) and _home(type(thing)) not in _FOREIGN:
        yield from _attributes(thing)
        yield from _methods(type(thing))


def _attributes(thing: Any) -> Iterator[Any]:
    try:
        yield from list(vars(thing).values())
    except TypeError:  # it has slots
        for kind in type(thing).__mro__:
            for name in getattr(kind, "__slots__", ()):
                yield getattr(thing, name, None)


def _methods(kind: type) -> Iterator[Any]:
    """The methods of a user's class: their globals may be models."""
    for base in kind.__mro__:
        if _home(base) not in _LIBRARIES:
            yield from (value for value in vars(base).values() if isinstance(value, FunctionType))


def _of_function(func: FunctionType) -> Iterator[Any]:
    for cell in func.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from func.__defaults__ or ()
    yield from (func.__kwdefaults__ or {}).values()
    wrapped = inspect.unwrap(func)
    if wrapped is not func:
        yield wrapped
    if (func.__module__ or "").split(".")[0] not in _LIBRARIES:
        names, attributes = _named(func.__code__)
        for name in names:
            value = func.__globals__.get(name)
            if isinstance(value, ModuleType):
                yield from (vars(value)[a] for a in attributes if a in vars(value))
            else:
                yield value


def _named(code: CodeType) -> tuple[set[str], set[str]]:
    """The globals that code reads, and the attributes it takes of anything; functions inside it included."""
    names: set[str] = set()
    attributes: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_names, inner_attributes = _named(constant)
            names |= inner_names
            attributes |= inner_attributes
    return names, attributes


def _home(kind: type) -> str:
    return (kind.__module__ or "").split(".")[0]
