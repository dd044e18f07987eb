"""Give objects of the ``openai`` client logprobs that are made only when somebody looks at them.

The client makes 21 objects per token of logprobs with 20 candidates. In a rollout hardly anybody looks at them. So the
object that holds logprobs (a choice; a text of the Responses API) gets another class until somebody does: a subclass
without fields of its own, which makes the logprobs at the first access that might show them, and gives the object its
own class back. Access to its other fields makes nothing.

This relies on three things of ``pydantic`` and of the client: fields are in ``__dict__``, which serialisers get as an
attribute; an object may change between two classes with equal slots; and ``construct_type`` makes the value of a field
from JSON, as the client does. ``langchain_openai`` turns the client's objects into dicts by ``model_dump()``. There it
gets dicts of logprobs that are made later, too. ``tests/insides/test_openai_objects.py`` guards all this.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

from openai import BaseModel
from openai._models import construct_type

_FIELD = "logprobs"
_READERS = "langchain_openai."
_get, _set = object.__getattribute__, object.__setattr__


class Later:
    """Base class of sources: the logprobs of one holder, of which no objects were made yet."""

    __slots__ = ()

    def value(self) -> Any:
        """Return them as JSON."""
        raise NotImplementedError

    def dumped(self, made: Callable[[], Any]) -> Any:
        """Return what ``model_dump()`` shall have in their place; ``made`` makes what it would have."""
        raise NotImplementedError


def put_later(holder: BaseModel, source: Later) -> None:
    """Let the object's logprobs be made of a source as soon as somebody looks at them."""
    vars(holder)[_FIELD] = source
    own: Any = type(holder)
    _set(holder, "__class__", _later(own))


def later_in(holder: Any) -> Later | None:
    """Return the source of an object's logprobs if nobody has looked at them yet."""
    if not hasattr(type(holder), "__ec_agent_own__"):
        return None
    source = _get(holder, "__dict__").get(_FIELD)
    return source if isinstance(source, Later) else None


def dump_later(answer: Any) -> None:
    """Let ``langchain_openai`` turn the answer into dicts without making the logprobs of its choices."""
    own: Any = type(answer)
    _set(answer, "__class__", _dumping(own))


def _make(holder: Any, own: type[BaseModel]) -> None:
    fields = _get(holder, "__dict__")
    source = fields.get(_FIELD)
    if isinstance(source, Later):  # else another thread, or the object that this is a copy of, has made them
        fields[_FIELD] = _made(own, source.value())
    _set(holder, "__class__", own)


def _made(own: type[BaseModel], value: Any) -> Any:
    field = own.model_fields[_FIELD]
    return construct_type(type_=field.annotation, value=value, metadata=list(field.metadata))


@lru_cache(maxsize=256)
def _later(own: type[BaseModel]) -> type:
    known = frozenset(dir(own))

    def look(self: Any, name: str) -> Any:
        if name == "__class__":
            return own
        if name != _FIELD:
            fields = _get(self, "__dict__")
            if name in fields:
                return fields[name]
            if name not in known:
                return _get(self, name)  # raises AttributeError; Python then looks among the extra values
        _make(self, own)
        return getattr(self, name)

    def by_own(name: str) -> Callable[..., Any]:
        def method(self: Any, *args: Any) -> Any:
            _make(self, own)
            return getattr(own, name)(self, *args)

        return method

    # Python finds these without asking the object. They begin with its class, which must be its own then.
    methods = {name: by_own(name) for name in ("__copy__", "__deepcopy__", "__reduce_ex__", "__repr__", "__eq__")}
    body = {"__getattribute__": look, "__ec_agent_own__": own, **methods, "__hash__": own.__hash__}
    return _subclass(own, body)


@lru_cache(maxsize=256)
def _dumping(own: type[BaseModel]) -> type:
    def model_dump(self: Any, **kwargs: Any) -> Any:
        reader = sys._getframe(1).f_globals.get("__name__", "")
        _set(self, "__class__", own)
        if not reader.startswith(_READERS):
            return self.model_dump(**kwargs)
        held = [(path, holder, source) for path, holder in _holders(self) if (source := later_in(holder)) is not None]
        empty: list[Any] | None = [] if "output" in vars(self) else None
        for _, holder, _ in held:
            _get(holder, "__dict__")[_FIELD] = empty
            _set(holder, "__class__", type(holder).__ec_agent_own__)
        try:
            dumped = self.model_dump(**kwargs)
        finally:
            for _, holder, source in held:
                put_later(holder, source)
        if empty is None:  # LangChain uses no logprobs of the Responses API
            for path, holder, source in held:
                place = dumped
                for step in path:
                    place = place[step]
                place[_FIELD] = source.dumped(partial(_dumped, holder, kwargs))
        return dumped

    def reduce(self: Any, *args: Any) -> Any:
        _set(self, "__class__", own)
        return own.__reduce_ex__(self, *args)

    return _subclass(own, {"model_dump": model_dump, "__reduce_ex__": reduce})


def _dumped(holder: Any, kwargs: dict[str, Any]) -> Any:
    return holder.model_dump(warnings=kwargs.get("warnings", True))[_FIELD]


def _holders(answer: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    fields = vars(answer)
    for place, choice in enumerate(_listed(fields.get("choices"))):
        yield ("choices", place), choice
    for place, item in enumerate(_listed(fields.get("output"))):
        for number, part in enumerate(_listed(getattr(item, "content", None))):
            yield ("output", place, "content", number), part


def _listed(things: Any) -> list[Any]:
    return things if type(things) is list else []


def _subclass(own: type[BaseModel], body: dict[str, Any]) -> type:
    # Not by pydantic's metaclass, which would collect the fields and build a schema again. All that is inherited.
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    return ABCMeta.__new__(type(own), own.__name__, (own,), {**names, **body})
