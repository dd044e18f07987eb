"""Makes dataclass objects from plain data (JSON, rows of a database), and plain data from such objects.

A file may be damaged, or written by somebody else. A text in place of a number would cause errors far from its origin,
so objects are made only of values that have the declared types. ``unmade``, the way back, checks nothing.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ec_agent.support.escaping import clipped

Made = TypeVar("Made")

MOST_WHOLE = 1 << 63
"""Whole numbers must be below this, because SQLite and NumPy store them in 64 bits with a sign."""

_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def text_of(value: Any) -> str | None:
    r"""Return the value as text that UTF-8 can hold, or ``None`` for ``None``.

    Half of a character (a lone surrogate) is written as an escape, such as ``\ud83d``.
    """
    return None if value is None else str(value).encode(errors="backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class PlainField:
    """A field of a dataclass that holds one plain value.

    Attributes:
        name: name of the field.
        kind: the type of its values: ``int``, ``float``, ``str`` or ``bool``.
        optional: whether it may be ``None``.
        default: its value in objects that were stored before the field was added; ``MISSING`` if it has none.
    """

    name: str
    kind: type
    optional: bool
    default: Any


def plain_fields(kind: type) -> tuple[PlainField, ...]:
    """Return the fields of a dataclass that hold one plain value, in its order.

    Stores and tables that keep such objects derive their columns from them.
    """
    found = []
    for each in fields(kind):
        hint = _hints(kind)[each.name]
        kinds = [one for one in get_args(hint) if one is not type(None)] if type(None) in get_args(hint) else [hint]
        only = str if get_origin(kinds[0]) is Literal else kinds[0]
        if len(kinds) == 1 and only in (int, float, str, bool):
            found.append(PlainField(each.name, only, kinds != [hint], each.default))
    return tuple(found)


class PlainError(ValueError):
    """A value does not have the declared type. The message says where the value is."""


def parsed(text: Any, where: str) -> Any:
    """Return the value of JSON text.

    Args:
        text: the JSON text.
        where: name of the text, for the error.

    Raises:
        PlainError: it is not JSON text.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise PlainError(f"{where} is not JSON ({clipped(error, 80)})") from error


def made(kind: type[Made], plain: Any, where: str, *, without: Iterable[str] = ()) -> Made:
    """Make an object of a dataclass from plain data. It is the inverse of ``dataclasses.asdict``.

    Args:
        kind: the dataclass.
        plain: a mapping from the names of its fields to plain values.
        where: name of the data, for the error.
        without: fields that the data must not set.

    Raises:
        PlainError: a field is missing, is unknown, or has another type than declared.
    """
    if not isinstance(plain, Mapping):
        raise PlainError(f"{where} is {_shown(plain)}, not an object")
    known = {each.name: each for each in fields(kind) if each.init and each.name not in set(without)}  # type: ignore[arg-type]
    if odd := [name for name in plain if name not in known]:
        raise PlainError(f"{where} has {_shown(odd[0])}, which is not known")
    for name, each in known.items():
        if name not in plain and each.default is MISSING and each.default_factory is MISSING:
            raise PlainError(f"{where} has no {name}")
    return kind(**typed(kind, plain, where))


def typed(kind: type, plain: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check and convert the values of some fields of a dataclass, as ``made`` does for all of them.

    Args:
        kind: the dataclass.
        plain: a mapping from the names of fields to plain values.
        where: name of the data, for the error.

    Returns:
        The converted values by the names of their fields.

    Raises:
        PlainError: a value has another type than declared.
    """
    hints = _hints(kind)
    return {name: of_type(value, hints[name], f"{where}.{name}") for name, value in plain.items()}


def of_type(value: Any, hint: Any, where: str) -> Any:
    """Return the value if it has the declared type. Lists become tuples and mappings dataclasses, as declared.

    Args:
        value: plain data.
        hint: the declared type: ``Any``, a type of JSON, ``Literal``, ``|``, ``tuple[x, ...]``, ``Mapping[str, x]``, or
            a dataclass.
        where: name of the value, for the error.

    Raises:
        PlainError: the value has another type.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _of_one(value, inner, where)
    if origin is Literal:
        if not any(value == each and type(value) is type(each) for each in inner):
            raise PlainError(f"{where} is {_shown(value)}, not one of {', '.join(map(repr, inner))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise PlainError(f"{where} is {_shown(value)}, not a list")
        if inner[-1] is not Ellipsis:
            if len(value) != len(inner):
                raise PlainError(f"{where} has {len(value)} values, not {len(inner)}")
            return tuple(of_type(each, kind, where) for each, kind in zip(value, inner, strict=True))
        if inner[0] is str and all(type(each) is str for each in value):
            return tuple(value)  # a faster way for token texts, of which there are many
        return tuple(of_type(each, inner[0], f"{where}[{place}]") for place, each in enumerate(value))
    if origin in (Mapping, dict):
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise PlainError(f"{where} is {_shown(value)}, not an object")
        return {name: of_type(each, inner[1], f"{where}[{_shown(name)}]") for name, each in value.items()}
    if is_dataclass(hint):
        return made(hint, value, where)  # type: ignore[arg-type]
    return _plain(value, hint, where)


def _of_one(value: Any, hints: Sequence[Any], where: str) -> Any:
    if value is None and type(None) in hints:
        return None
    # The first type is tried last, so that the error speaks of the type that was declared first.
    first, *others = (hint for hint in hints if hint is not type(None))
    for hint in others:
        try:
            return of_type(value, hint, where)
        except PlainError:
            continue
    return of_type(value, first, where)


def _plain(value: Any, kind: type, where: str) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and kind in (int, float) and not -MOST_WHOLE <= value < MOST_WHOLE:
        raise PlainError(f"{where} is a whole number of more than 63 bits")
    if kind is float and (whole or isinstance(value, float)):
        return value
    if kind is int and whole:
        return value
    if kind in (str, bool, type(None)) and isinstance(value, kind):
        return value
    raise PlainError(f"{where} is {_shown(value)}, not {_NAMES.get(kind, kind.__name__)}")


def _shown(value: Any) -> str:
    if isinstance(value, int) and not -MOST_WHOLE <= value < MOST_WHOLE:
        return "a huge number"
    return clipped(repr(value) if isinstance(value, str | int | float | type(None)) else type(value).__name__, 60)


def unmade(thing: Any, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Turn an object of a dataclass into a dict, as ``dataclasses.asdict`` does, in a third of its time.

    Containers and dataclasses in it are copied, too, and so are all other values that may change.

    Args:
        thing: the object.
        without: fields to leave out.
    """
    kind: type = type(thing)
    left_out = set(without)
    return {name: _copied(getattr(thing, name)) for name in _names(kind) if name not in left_out}


_UNCHANGING = frozenset({int, float, str, bool, type(None)})


def _copied(value: Any) -> Any:
    kind: type = type(value)
    if kind in _UNCHANGING:
        return value
    if kind is dict:
        return {_copied(name): _copied(each) for name, each in value.items()}
    if kind is list or kind is tuple:
        return kind(map(_copied, value))
    if is_dataclass(kind):
        return {name: _copied(getattr(value, name)) for name in _names(kind)}
    return deepcopy(value)


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
