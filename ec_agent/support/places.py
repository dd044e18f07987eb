"""What ``module:name`` on a command line means; modules of the current directory are found."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from ec_agent.errors import ConfigError, EcAgentError


def is_place(text: str) -> bool:
    """Whether a text is written as ``module:name``."""
    module, _, name = text.partition(":")
    return all(part.isidentifier() for part in [*module.split("."), *name.split(".")])


def load_object(place: str, what: str, failure: type[EcAgentError]) -> Any:
    """What is at ``module:name``.

    Args:
        place: where.
        what: what is looked for, for errors: "an agent".
        failure: what to raise where the module fails when it is imported.

    Raises:
        ConfigError: the place is not written so, or there is nothing.
    """
    if not is_place(place):
        raise ConfigError(f"{place!r} is no place of {what}; write module:name")
    module, _, name = place.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except EcAgentError:
        raise
    except ModuleNotFoundError as error:
        if module.endswith(".py"):
            raise ConfigError(f"{place}: write the module without .py, {module.removesuffix('.py')}:{name}") from error
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{place}: there is no module {error.name}; run from the directory that it is in, or install it"
            ) from error
        raise failure(f"{place} needs {error.name}, which is not installed; install it") from error
    except (Exception, SystemExit) as error:  # a script without a main guard ends with the latter
        raise failure(
            f"{place} cannot be imported ({type(error).__name__}: {error}); see that it works in Python"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{place}: {module} has no {name}; see how it is spelled")
        found = getattr(found, part)
    return found


def made(place: str, make: Callable[..., Any], what: str, failure: type[EcAgentError], **arguments: Any) -> Any:
    """What the function at a place makes.

    Args:
        place: where it was found.
        make: the function.
        what: what it is to make, for errors.
        failure: what to raise where it fails; errors of ours pass.
        **arguments: what it is called with.
    """
    try:
        return make(**arguments)
    except EcAgentError:
        raise
    except Exception as error:
        called = f"with {', '.join(arguments)}" if arguments else "without arguments"
        raise failure(
            f"{place} failed ({type(error).__name__}: {error}); see that it makes {what}, called {called}"
        ) from error
