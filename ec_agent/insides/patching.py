"""Wrapping a method of somebody else's class once, wherever other packages have put wrappers of theirs on it.

Other packages come before ours or after it, wrap a subclass in place of the class, and take their wrapper off again by
putting back what they had found, ours gone with it. So whoever needs a wrapper asks for it each time, before the method
is called, and it is put on again where it can be seen to be missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from ec_agent.errors import ConfigError

_OURS = "__ec_agent_patch__"  # on our wrappers, and by functools.wraps on those around them
_bare: dict[tuple[type, str], Any] = {}
_lock = threading.Lock()


def put_on(owner: type, name: str, wrap: Callable[[Any], Any], *, below: bool = False) -> None:
    """Have calls of this method come through our wrapper, once each. Thread-safe.

    Args:
        owner: the class.
        name: of the method.
        wrap: makes the wrapper of the function that is there; with ``functools.wraps``.
        below: also where a subclass got a wrapper around the class's own function, which goes past the class.

    Raises:
        ConfigError: the class has no such method.
    """
    if name not in vars(owner):
        raise ConfigError(
            f"{owner.__module__}.{owner.__qualname__} has no {name}(), which ec_agent has to wrap; install a version "
            f"of {owner.__module__.partition('.')[0]} that this one knows, or a newer ec_agent"
        )
    with _lock:
        bare = _bare.setdefault((owner, name), _innermost(vars(owner)[name]))
        classes: list[type[Any]] = [owner, *(_below(owner) if below else ())]
        for each in classes:
            found = vars(each).get(name)
            # What is not known to end at the bare function is taken to come through ours: an override that calls
            # super() does, and so does a wrapper around ours that does not tell what it wraps.
            if found is not None and not hasattr(found, _OURS) and _innermost(found) is bare:
                wrapper = wrap(found)
                setattr(wrapper, _OURS, True)
                setattr(each, name, wrapper)


def _innermost(function: Any) -> Any:
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    return function


def _below(owner: type[Any]) -> Iterator[type[Any]]:
    for each in owner.__subclasses__():
        yield each
        yield from _below(each)
