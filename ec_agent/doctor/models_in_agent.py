"""The chat models inside an agent: in its nodes, bindings and tools, and in what its functions refer to."""

from __future__ import annotations

import dis
import functools
import gc
import sys
from collections import deque
from collections.abc import Iterator
from types import (
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.base import RunnableBindingBase
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from ec_agent.capture.filters import CallFilter, CallPredicate
from ec_agent.doctor.chat_model import unbound
from ec_agent.errors import ConfigError
from ec_agent.insides.langgraph import TaskFunction
from ec_agent.support.checks import repr_of

MOST_DEEP = 24
MOST_OBJECTS = 20_000
# Objects of these are no part of an agent, and lead far.
_FOREIGN = frozenset({*sys.stdlib_module_names, "numpy", "openai", "httpx", "httpx2", "pydantic", "pydantic_core"})
# Of functions of these, what they close over may hold a model; their globals are a library.
_LIBRARIES = frozenset({"langchain", "langchain_core", "langgraph", "ec_agent", *_FOREIGN})
_PLAIN = (str, bytes, int, float, complex, type, NoneType)


def models_of(agent: Any, *, calls: CallPredicate | None = None) -> list[Any]:
    """The chat models an agent may call, each once, in the order in which they are met.

    Looked into: compiled graphs and the graphs, tools and functions in them; bindings, sequences and other
    Runnables; what functions close over, and the globals they name; the attributes of objects met that way. Not seen:
    models made while the agent runs, those that a lazy mapping would load, and those behind a network. Nothing of the
    agent's own is run for it, and an object that cannot be looked into is passed over.

    Args:
        agent: anything ``best_of_n`` takes.
        calls: which calls count; a model that is met only in nodes whose calls do not is left out.

    Returns:
        Chat models, and bindings of chat models with what is bound to them.

    Raises:
        ConfigError: ``calls`` goes by more than nodes, and so by what is known only once a call is made.
    """
    search = _Search(_by_nodes(calls))
    found: list[Any] = []
    seen: dict[tuple[int, bool], Any] = {}  # the objects themselves: one that is freed could pass its id on
    known: list[tuple[BaseChatModel, dict[str, Any]]] = []
    waiting = deque([(agent, 0, search.calls.nodes is None)])
    while waiting and len(seen) < MOST_OBJECTS:
        thing, depth, counted = waiting.popleft()
        if _is(thing, _PLAIN) or (id(thing), counted) in seen:
            continue
        seen[id(thing), counted] = thing
        model = _model_in(thing)
        if model is not None:
            if counted and not any(_same(model, other) for other in known):
                known.append(model)
                found.append(thing)
            continue
        if depth < MOST_DEEP:
            waiting.extend((part, depth + 1, inside) for part, inside in search.parts(thing, counted))
    return found


def _by_nodes(calls: CallPredicate | None) -> CallFilter:
    if calls is None:
        return CallFilter()
    # A subclass may decide by anything, as a function may; tags and metadata may come with the call itself.
    if type(calls) is not CallFilter or calls.tags is not None or calls.exclude_tags or calls.metadata:
        raise ConfigError(
            f"calls={repr_of(calls)} goes by more than the nodes in which calls are made, so the models whose calls "
            "count cannot be found beforehand; name them: preflight=model, or preflight=[model, ...]"
        )
    return calls


def _is(thing: Any, kinds: tuple[type, ...]) -> bool:
    """``isinstance`` by the real class: a proxy answers for another, and may load that or raise."""
    return any(base is kind for base in type(thing).__mro__ for kind in kinds)


def _model_in(thing: Any) -> tuple[BaseChatModel, dict[str, Any]] | None:
    if not _is(thing, (BaseChatModel, RunnableBindingBase)):
        return None
    try:
        model, kwargs, _ = unbound(thing)
    except Exception:  # there is none inside, or what is inside will not be looked at
        return None
    return model, kwargs


def _same(one: tuple[BaseChatModel, dict[str, Any]], other: tuple[BaseChatModel, dict[str, Any]]) -> bool:
    try:
        return one[0] is other[0] and bool(one[1] == other[1])
    except Exception:  # what is bound cannot be compared
        return False


class _Search:
    """What to look into next, where only calls made in some nodes count.

    Args:
        calls: the nodes whose calls count.
    """

    def __init__(self, calls: CallFilter) -> None:
        self.calls = calls
        self._housed: dict[int, Any] = {}  # tool nodes and their tools: they run there, wherever else they are named

    def parts(self, thing: Any, counted: bool) -> list[tuple[Any, bool]]:
        """What an object is made of, as far as it lets itself be looked into, and whether its calls count."""
        parts: list[tuple[Any, bool]] = []
        try:
            for name, part in self._named(thing):
                if name is None or name not in self.calls.exclude_nodes:
                    parts.append((part, counted or (name is not None and name in (self.calls.nodes or ()))))
        except Exception:  # a user's object may raise whatever it likes, and is no reason to end a run
            return parts
        return parts

    def _named(self, thing: Any) -> Iterator[tuple[str | None, Any]]:
        """The parts; one that is a node or a task, with its name."""
        if _is(thing, (Pregel,)):
            for name, node in thing.nodes.items():
                if _is(node.bound, (ToolNode,)):
                    self._housed |= {id(held): held for held in (node.bound, *node.bound.tools_by_name.values())}
                yield from ((name, part) for part in (node.bound, *node.subgraphs))
        elif _is(thing, (TaskFunction,)):
            yield getattr(thing.func, "__name__", None), thing.func
        else:
            if _is(thing, (ToolNode,)):
                yield from ((None, tool) for tool in thing.tools_by_name.values())
            yield from ((None, part) for part in _parts(thing) if id(part) not in self._housed)


def _parts(thing: Any) -> Iterator[Any]:
    """What an object is made of, as far as it may lead to a model."""
    if _is(thing, (dict,)):
        yield from list(dict.values(thing))
    elif _is(thing, (MappingProxyType,)):
        yield from gc.get_referents(thing)  # the mapping itself, which may be of a class of its own
    elif plain := [kind for kind in (list, tuple, set, frozenset, deque) if _is(thing, (kind,))]:
        yield from list(plain[0].__iter__(thing))
    elif _is(thing, (functools.partial,)):
        yield from (getattr(thing, name) for name in ("func", "args", "keywords"))
    elif _is(thing, (MethodType,)):
        yield from (thing.__self__, thing.__func__)
    elif _is(thing, (FunctionType,)):
        yield from _of_function(thing)
    elif not _is(thing, (ModuleType,)) and _home(type(thing)) not in _FOREIGN:
        yield from _attributes(thing)
        yield from _methods(type(thing))


def _attributes(thing: Any) -> Iterator[Any]:
    """The attributes an object has, read past whatever its class puts in their way."""
    yield from list(_namespace(thing).values())
    for kind in type(thing).__mro__:
        for slot in vars(kind).values():
            if type(slot) is MemberDescriptorType:
                try:
                    yield slot.__get__(thing)
                except AttributeError:  # not filled
                    continue


def _namespace(thing: Any) -> dict[str, Any]:
    for kind in type(thing).__mro__:
        own = vars(kind).get("__dict__")
        if own is not None:
            real = type(own) in (GetSetDescriptorType, MemberDescriptorType)
            return own.__get__(thing) or {} if real else {}
    return {}


def _methods(kind: type) -> Iterator[Any]:
    """The methods of a user's class: their globals may be models."""
    for base in kind.__mro__:
        if _home(base) not in _LIBRARIES:
            yield from (value for value in vars(base).values() if _is(value, (FunctionType,)))


def _of_function(func: FunctionType) -> Iterator[Any]:
    for cell in func.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from func.__defaults__ or ()
    yield from (func.__kwdefaults__ or {}).values()
    yield vars(func).get("__wrapped__")
    if (func.__module__ or "").split(".")[0] not in _LIBRARIES:
        names, attributes = _named(func.__code__)
        for name in names:
            value = func.__globals__.get(name)
            if _is(value, (ModuleType,)):
                held = _namespace(value)
                yield from (held[a] for a in attributes if a in held)
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
