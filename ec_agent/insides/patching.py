"""Wrap a method of another package's class exactly once, even if other packages wrap the same method.

Other packages may wrap the method before or after this one, and may wrap it on a subclass. They may also remove their
wrapper by restoring the function they had found, which removes ours too. So callers ask for the wrapper each time
before the method is used, and it is put on again where it is missing.

``tests/insides/test_patching.py`` guards this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ec_agent.errors import ConfigError

_OURS = "__ec_agent_patch__"  # marks our wrappers; functools.wraps copies the mark to any wrapper around ours
_bare: dict[tuple[type, str], Any] = {}
_lock = threading.Lock()


def put_on(owner: type, wraps: Mapping[str, Callable[[Any], Any]], *, subclasses: bool = False) -> None:
    """Wrap methods, so that each call of one goes through its wrapper once. Thread-safe; repeating it is harmless.

    Args:
        owner: the class.
        wraps: by the names of the methods, functions that get the present one and return its wrapper, made with
            ``functools.wraps``.
        subclasses: whether to look at subclasses too. Another package may have wrapped the class's function on a
            subclass; calls there never reach the class.

    Raises:
        ConfigError: the class has no such method.
    """
    if gone := [name for name in wraps if name not in owner.__dict__]:
        raise ConfigError(
            f"{owner.__module__}.{owner.__qualname__} has no {gone[0]}(), which ec_agent has to wrap; install a "
            f"version of {owner.__module__.partition('.')[0]} that this ec_agent knows, or a newer ec_agent"
        )
    missing = []
    for each in _family(owner) if subclasses else (owner,):  # no function is called: this runs before each rollout
        for name in wraps:
            found = each.__dict__.get(name)
            if found is not None and not hasattr(found, _OURS):
                missing.append((each, name))
    if not missing:
        return
    with _lock:
        for each, name in missing:
            bare = _bare.setdefault((owner, name), _innermost(vars(owner)[name]))
            found = vars(each).get(name)
            # Wrap only what is known to lead straight to the bare function. Anything else is assumed to lead through
            # our wrapper already: an override that calls super() does, and so does a wrapper made without
            # functools.wraps around ours.
            if found is not None and not hasattr(found, _OURS) and _innermost(found) is bare:
                wrapper = wraps[name](found)
                setattr(wrapper, _OURS, True)
                setattr(each, name, wrapper)


def _innermost(function: Any) -> Any:
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    return function


def _family(owner: type[Any]) -> list[type[Any]]:
    """Return the class and all its subclasses."""
    classes = [owner]
    for each in classes:  # those that are added are visited too
        classes.extend(each.__subclasses__())
    return classes
