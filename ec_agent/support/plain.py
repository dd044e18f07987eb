"""Plain data that was read from somewhere, JSON or rows of a database: of the types its dataclass declares, or refused.

What a file says is somebody's word. A text where a number belongs would go far before it does harm: it is refused at
the door.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ec_agent.support.escaping import clipped

Made = TypeVar("Made")

MOST_WHOLE = 1 << 63
"""Whole numbers are below this, as in SQLite and NumPy."""

_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def text_of(value: Any) -> str | None:
    r"""Text that UTF-8 can hold: half a character (a lone surrogate) is written out, ``\ud83d``; ``None`` stays."""
    return None if value is None else str(value).encode(errors="backslashreplace").decode()


class PlainError(ValueError):
    """A value is not of the type that is declared; the message names its place."""


def parsed(text: Any, where: str) -> Any:
    """The value of JSON text.

    Raises:
        PlainError: it is no JSON text.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise PlainError(f"{where} is no JSON ({clipped(error, 80)})") from error


def made(kind: type[Made], plain: Any, where: str, *, without: Iterable[str] = ()) -> Made:
    """An object of a dataclass out of plain data, the inverse of ``dataclasses.asdict``.

    Args:
        kind: the dataclass.
        plain: a mapping from its fields' names to plain values.
        where: what to call the data in errors.
        without: fields that data has no business to set.

    Raises:
        PlainError: a field is missing, unknown, or of another type than is declared.
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
    """Some fields of a dataclass, as ``made`` has them.

    Raises:
        PlainError: one is of another type than is declared.
    """
    hints = _hints(kind)
    return {name: of_type(value, hints[name], f"{where}.{name}") for name, value in plain.items()}


def of_type(value: Any, hint: Any, where: str) -> Any:
    """The value, where it is of that type: lists as tuples where tuples are declared, mappings as dataclasses.

    Args:
        value: plain data.
        hint: ``Any``, a type of JSON, ``Literal``, ``|``, ``tuple[x, ...]``, ``Mapping[str, x]``, or a dataclass.
        where: what to call it in errors.

    Raises:
        PlainError: it is not.
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
            return tuple(value)  # token texts: many, and nearly always right
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


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
