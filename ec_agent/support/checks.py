"""Checks of arguments. Public functions call them first, so that a wrong argument fails before any work is done.

Each check takes the name of an argument and its value, and returns the value to use. If the value is wrong, it raises a
``ConfigError`` that names the argument, shows the value and says what to give instead. The parameter ``rather`` is the
text that says it. This module imports nothing but Python's standard library and our errors.
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
    """Return a short ``repr`` of any value, for error messages. It never raises, even if the value's own does."""
    try:
        return _repr.repr(value)
    except Exception:  # a whole number with too many digits; reprlib catches errors of a value's own __repr__
        return f"<{type(value).__name__}>"


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind)  # in a function, because mypy would narrow the type: to it, Real excludes int


def refusal(name: str, value: Any, rather: str) -> ConfigError:
    """Make the error that says which value an argument has, and what to give instead (``rather``)."""
    return ConfigError(f"{name} is {repr_of(value)}; give {rather}")


def checked(owner: object, name: str, check: Callable[..., Any], *rest: Any, **named: Any) -> None:
    """Check a field of a frozen dataclass, and set it to the value that the check returns. For ``__post_init__``."""
    object.__setattr__(owner, name, check(name, getattr(owner, name), *rest, **named))


def or_none(name: str, value: Any, check: Callable[..., T], *rest: Any, **named: Any) -> T | None:
    """Return ``None`` for ``None``, and otherwise what the check returns."""
    return None if value is None else check(name, value, *rest, **named)


def whole(name: str, value: Any, least: int | None = 1, most: int | None = None, *, rather: str = "") -> int:
    """Check a whole number from ``least`` to ``most``. NumPy's whole numbers are accepted, ``True`` is not."""
    is_whole = _is(value, Integral) and not _is(value, bool)
    if is_whole and (least is None or value >= least) and (most is None or value <= most):
        return int(value)
    bounds = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    raise refusal(name, value, rather or f"a whole number{bounds}")


def number(
    name: str, value: Any, rather: str, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
) -> float:
    """Check a finite number: at least ``least``, at most ``most``, and more than ``above``. NumPy's are accepted."""
    if _is(value, Real) and not _is(value, bool):
        try:
            given = float(value)
        except (OverflowError, ValueError):  # a whole number that is too large for a float
            given = math.nan
        if math.isfinite(given) and least <= given <= most and given > above:
            return value if type(value) is int else given  # an int stays one, so that messages say 30 s, not 30.0 s
    raise refusal(name, value, rather)


def share(name: str, value: Any) -> float:
    """Check a number from 0 to 1."""
    return number(name, value, "a share from 0 to 1", least=0, most=1)


def seconds(name: str, value: Any, rather: str = "seconds, more than 0", *, least: float | None = None) -> float:
    """Check a time in seconds: more than 0, or at least ``least``. Times too long for system calls are refused."""
    if least is None:
        return number(name, value, rather, above=0, most=_LONGEST)
    return number(name, value, rather, least=least, most=_LONGEST)


_LONGEST = 9e9  # seconds, about 285 years: locks, sockets and SQLite fail with slightly longer times


def one_of(name: str, value: Any, allowed: Sequence[Any], rather: str = "") -> Any:
    """Check that a value is one of those allowed, and of the same type: 1 is not accepted for ``True``."""
    for each in allowed:
        if type(value) is type(each) and value == each:
            return value
    raise refusal(name, value, rather or f"one of {', '.join(map(repr, allowed))}")


def flag(name: str, value: Any) -> bool:
    """Check that a value is ``True`` or ``False``."""
    return bool(one_of(name, value, (True, False)))


def text(name: str, value: Any, rather: str = "a text", *, empty: bool = False) -> str:
    """Check a text. One that is empty or only white space is accepted if ``empty`` is true."""
    if isinstance(value, str) and (empty or value.strip()):
        return value
    raise refusal(name, value, rather)


def storable(name: str, value: Any, rather: str = "a text") -> str:
    """Check a text, maybe empty, that can be written as UTF-8: it must not hold half of a surrogate pair."""
    given = text(name, value, rather, empty=True)
    if given.encode(errors="replace").decode() == given:
        return given
    raise refusal(name, value, f"{rather}, whole Unicode")


def instance(name: str, value: Any, kind: type[T] | tuple[type[T], ...], rather: str) -> T:
    """Check that a value is an instance of a class, or of one of several."""
    if isinstance(value, kind):
        return value
    raise refusal(name, value, rather)


def function(name: str, value: Any, rather: str = "a function", *, of: int | None = None) -> Any:
    """Check that a value can be called, and with ``of`` arguments if Python can tell."""
    if not callable(value):
        raise refusal(name, value, rather)
    if of is not None:
        try:
            inspect.signature(value).bind(*[None] * of)
        except TypeError as error:
            raise ConfigError(f"{name} is {repr_of(value)} ({error}); give {rather} of {of} arguments") from error
        except ValueError:  # a function written in C may not say which arguments it takes
            pass
    return value


def several(name: str, value: Any, kind: type[T] | tuple[type[T], ...], rather: str) -> tuple[T, ...]:
    """Check a list, a tuple or another iterable of instances of a class. A text or a mapping is not accepted."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | type):
        try:
            found = tuple(value)
        except Exception as error:
            raise ConfigError(f"{name} cannot be iterated over ({repr_of(error)}); give {rather}") from error
        wrong = [each for each in found if not isinstance(each, kind)]
        if not wrong:
            return found
        raise ConfigError(f"{name} contains {repr_of(wrong[0])}; give {rather}")
    raise refusal(name, value, rather)


def mapping(name: str, value: Any, rather: str) -> Mapping[str, Any]:
    """Check a dict or another mapping whose keys are texts."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise refusal(name, value, rather)


def json_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Check a mapping whose keys are texts and whose values can be written as JSON."""
    given = mapping(name, value, "a dict whose values JSON can hold")
    try:
        json.dumps(dict(given))
    except Exception as error:  # a mapping of somebody else's class may raise anything
        raise ConfigError(
            f"{name} cannot be stored ({repr_of(error)}); give a dict whose values JSON can hold"
        ) from error
    return given


_LONGEST_NAME = 255
"""The longest file name, in bytes, that common file systems allow."""


def file_path(name: str, value: Any, rather: str = "the name of a file") -> Path:
    """Check a path that can be passed to the operating system. Whether the file exists is not checked."""
    if isinstance(value, str | os.PathLike):
        try:
            place = os.fspath(value)
            if isinstance(place, str) and place.strip() and "\0" not in place:
                if all(len(part) <= _LONGEST_NAME for part in os.fsencode(place).split(os.fsencode(os.sep))):
                    return Path(place)
                raise OSError("a name in it is too long")
        except Exception as error:  # the path has half of a surrogate pair, or the value's own __fspath__ failed
            raise ConfigError(f"{name} is {repr_of(value)} ({error}); give {rather}") from error
    raise refusal(name, value, rather)


def cause_of(error: Exception) -> str:
    """Return why a file cannot be read, without its path: the message that this is put into names the path."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def is_file(path: Path) -> bool:
    """Tell whether there is a file. ``False`` too if the system refuses the path (name too long, loop of links)."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder, as ``is_file`` does for files."""
    try:
        return path.is_dir()
    except OSError:
        return False
