"""Loads objects that a command line names as ``module:name``. Modules in the current directory are found."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.support.checks import repr_of


def is_place(text: str) -> bool:
    """Tell whether a text has the form ``module:name``."""
    module, _, name = text.partition(":")
    return all(part.isidentifier() for part in [*module.split("."), *name.split(".")])


def load_object(place: str, what: str, failure: type[EcAgentError]) -> Any:
    """Import the module of ``module:name`` and return the object of that name.

    Args:
        place: where the object is, such as ``"agents.shop:make_agent"``.
        what: what the object should be, for the error, such as ``"an agent"``.
        failure: class of the error to raise if the module exists, but fails when it is imported.

    Raises:
        ConfigError: ``place`` does not have this form, or there is no such module or name.
    """
    if not is_place(place):
        raise ConfigError(f"{repr_of(place)} does not say where to find {what}; write module:name")
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
    except (Exception, SystemExit) as error:  # SystemExit: a script that runs at import, without a main guard
        raise failure(
            f"{place} cannot be imported ({type(error).__name__}: {error}); check that Python can import it"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{place}: {module} has no {name}; check the spelling")
        found = getattr(found, part)
    return found


def made(place: str, make: Callable[..., Any], what: str, failure: type[EcAgentError], **arguments: Any) -> Any:
    """Call a function that was loaded from a place, and return its result.

    Args:
        place: where the function was found, for the error.
        make: the function.
        what: what the function should return, for the error, such as ``"an agent"``.
        failure: class of the error to raise if the function fails. Errors of ours are not changed.
        **arguments: arguments of the call.
    """
    try:
        return make(**arguments)
    except EcAgentError:
        raise
    except Exception as error:
        called = f"with {', '.join(arguments)}" if arguments else "without arguments"
        raise failure(
            f"{place} failed ({type(error).__name__}: {error}); check that it returns {what} when called {called}"
        ) from error
