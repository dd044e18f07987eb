"""Arguments, looked at where they come in: what cannot be used is refused by name, before anything is done with it.

Each check takes the argument's name and its value, and gives the value to go on with. What it refuses is a
``ConfigError`` that says what came, and what to give instead. Nothing is imported here that is not in Python itself.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from ec_agent.errors import ConfigError

T = TypeVar("T")

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 200
_repr.maxlong = 60


def repr_of(value: Any) -> str:
    """A short ``repr`` for errors, of whatever it is: of an object whose own raises, too."""
    try:
        return _repr.repr(value)
    except Exception:  # a number of too many digits; reprlib itself sees to a __repr__ that raises
        return f"<{type(value).__name__}>"


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind)  # said so that mypy does not take Real and int for strangers


def refusal(name: str, value: Any, rather: str) -> ConfigError:
    """The error that says what came and what is wanted."""
    return ConfigError(f"{name} is {repr_of(value)}; give {rather}")


def checked(owner: object, name: str, check: Callable[..., Any], *rest: Any, **named: Any) -> None:
    """A field of a frozen dataclass: what the check gives takes its place."""
    object.__setattr__(owner, name, check(name, getattr(owner, name), *rest, **named))


def or_none(name: str, value: Any, check: Callable[..., T], *rest: Any, **named: Any) -> T | None:
    """``None``, or what the check gives."""
    return None if value is None else check(name, value, *rest, **named)


def whole(name: str, value: Any, least: int | None = 1, most: int | None = None, *, rather: str = "") -> int:
    """A whole number, of at least ``least`` and at most ``most``; NumPy's are taken too."""
    is_whole = _is(value, Integral) and not _is(value, bool)
    if is_whole and (least is None or value >= least) and (most is None or value <= most):
        return int(value)
    bounds = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    raise refusal(name, value, rather or f"a whole number{bounds}")


def number(
    name: str, value: Any, rather: str, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
) -> float:
    """A finite number, of at least ``least``, at most ``most`` and more than ``above``; NumPy's are taken too."""
    if _is(value, Real) and not _is(value, bool):
        try:
            given = float(value)
        except (OverflowError, ValueError):
            given = math.nan
        if math.isfinite(given) and least <= given <= most and given > above:
            return value if type(value) is int else given  # as it was given: 30 s is not said to be 30.0 s
    raise refusal(name, value, rather)


def share(name: str, value: Any) -> float:
    """A share from 0 to 1."""
    return number(name, value, "a share from 0 to 1", least=0, most=1)


def seconds(name: str, value: Any, rather: str = "seconds, more than 0", *, least: float | None = None) -> float:
    """A time in seconds: more than 0, or of at least ``least``. What no clock of a system can count to is none."""
    if least is None:
        return number(name, value, rather, above=0, most=_LONGEST)
    return number(name, value, rather, least=least, most=_LONGEST)


_LONGEST = 9e9  # some 285 years: locks, sockets and SQLite overflow a little later


def one_of(name: str, value: Any, allowed: Sequence[Any], rather: str = "") -> Any:
    """One of a few values, of the same type."""
    for each in allowed:
        if type(value) is type(each) and value == each:
            return value
    raise refusal(name, value, rather or f"one of {', '.join(map(repr, allowed))}")


def flag(name: str, value: Any) -> bool:
    """``True`` or ``False``."""
    return bool(one_of(name, value, (True, False)))


def text(name: str, value: Any, rather: str = "a text", *, empty: bool = False) -> str:
    """A text, with something in it unless ``empty``."""
    if isinstance(value, str) and (empty or value.strip()):
        return value
    raise refusal(name, value, rather)


def storable(name: str, value: Any, rather: str = "a text") -> str:
    """A text, an empty one too, that files and databases take: whole Unicode, without half a surrogate pair."""
    given = text(name, value, rather, empty=True)
    if given.encode(errors="replace").decode() == given:
        return given
    raise refusal(name, value, f"{rather}, whole Unicode")


def instance(name: str, value: Any, kind: type[T] | tuple[type[T], ...], rather: str) -> T:
    """An object of that kind."""
    if isinstance(value, kind):
        return value
    raise refusal(name, value, rather)


def function(name: str, value: Any, rather: str = "a function", *, of: int | None = None) -> Any:
    """What can be called, with ``of`` arguments where that can be told."""
    if not callable(value):
        raise refusal(name, value, rather)
    if of is not None:
        try:
            inspect.signature(value).bind(*[None] * of)
        except TypeError as error:
            raise ConfigError(f"{name} is {repr_of(value)} ({error}); give {rather} of {of} arguments") from error
        except ValueError:  # written in C: it says nothing of what it takes
            pass
    return value


def several(name: str, value: Any, kind: type[T] | tuple[type[T], ...], rather: str) -> tuple[T, ...]:
    """A list, tuple or the like of objects of that kind; a text or a mapping is none."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | type):
        try:
            found = tuple(value)
        except Exception as error:
            raise ConfigError(f"{name} cannot be gone through ({repr_of(error)}); give {rather}") from error
        wrong = [each for each in found if not isinstance(each, kind)]
        if not wrong:
            return found
        raise ConfigError(f"{name} has {repr_of(wrong[0])} in it; give {rather}")
    raise refusal(name, value, rather)


def mapping(name: str, value: Any, rather: str) -> Mapping[str, Any]:
    """A dict or the like whose keys are texts."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise refusal(name, value, rather)


def json_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """A dict or the like whose keys are texts, and which JSON can hold."""
    given = mapping(name, value, "a dict with values that JSON has")
    try:
        json.dumps(dict(given))
    except Exception as error:  # whatever somebody's own mapping raises
        raise ConfigError(f"{name} cannot be stored ({repr_of(error)}); give a dict with values of JSON") from error
    return given


_LONGEST_NAME = 255
"""Bytes of a file's name, in the file systems there are."""


def file_path(name: str, value: Any, rather: str = "the name of a file") -> Path:
    """A path that the system can be asked about; whether there is a file is another question."""
    if isinstance(value, str | os.PathLike):
        try:
            place = os.fspath(value)
            if isinstance(place, str) and place.strip() and "\0" not in place:
                if all(len(part) <= _LONGEST_NAME for part in os.fsencode(place).split(os.fsencode(os.sep))):
                    return Path(place)
                raise OSError("a name in it is too long")
        except Exception as error:  # half a surrogate pair, or somebody's own __fspath__
            raise ConfigError(f"{name} is {repr_of(value)} ({error}); give {rather}") from error
    raise refusal(name, value, rather)


def cause_of(error: Exception) -> str:
    """Why a file cannot be read, without the path, which the message around it names already."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def is_file(path: Path) -> bool:
    """Whether there is a file; what the system does not even look at (a name too long, a loop of links) is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder; as ``is_file``."""
    try:
        return path.is_dir()
    except OSError:
        return False
