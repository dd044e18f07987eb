"""Wrap a method of another package's class exactly once, even if other packages wrap the same method.

Other packages may wrap the method before or after this one, and may wrap it on a subclass. They may also remove their
wrapper by restoring the function they had found, which removes ours too. So callers ask for the wrapper each time
before the method is used, and it is put on again where it is missing.

``tests/insides/test_patching.py`` guards this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ec_agent.errors import ConfigError

_OURS = "__ec_agent_patch__"  # marks our wrappers; functools.wraps copies the mark to any wrapper around ours
_bare: dict[tuple[type, str], Any] = {}
_lock = threading.Lock()


def put_on(owner: type, name: str, wrap: Callable[[Any], Any], *, subclasses: bool = False) -> None:
    """Wrap a method, so that each call of it goes through the wrapper once. Thread-safe; repeating it is harmless.

    Args:
        owner: the class.
        name: the method's name.
        wrap: gets the present function and returns its wrapper, made with ``functools.wraps``.
        subclasses: whether to look at subclasses too. Another package may have wrapped the class's function on a
            subclass; calls there never reach the class.

    Raises:
        ConfigError: the class has no such method.
    """
    if name not in vars(owner):
        raise ConfigError(
            f"{owner.__module__}.{owner.__qualname__} has no {name}(), which ec_agent has to wrap; install a version "
            f"of {owner.__module__.partition('.')[0]} that this ec_agent knows, or a newer ec_agent"
        )
    missing = []
    for each in _family(owner) if subclasses else (owner,):  # no function is called: this runs before each rollout
        found = each.__dict__.get(name)
        if found is not None and not hasattr(found, _OURS):
            missing.append(each)
    if not missing:
        return
    with _lock:
        bare = _bare.setdefault((owner, name), _innermost(vars(owner)[name]))
        for each in missing:
            found = vars(each).get(name)
            # Wrap only what is known to lead straight to the bare function. Anything else is assumed to lead through
            # our wrapper already: an override that calls super() does, and so does a wrapper made without
            # functools.wraps around ours.
            if found is not None and not hasattr(found, _OURS) and _innermost(found) is bare:
                wrapper = wrap(found)
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
