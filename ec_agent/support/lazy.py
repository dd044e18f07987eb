"""Imports that happen at first use: the public names of a package, and packages that only an extra installs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.support.extras import installing

_LISTED = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)


def lazy_names(
    package: str, file: str, needing: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make a package's ``__getattr__``, ``__dir__`` and ``__all__``, so that its names are imported at first use.

    The stub file ``__init__.pyi`` beside ``__init__.py`` lists each public name once, as ``from module import name as
    name``. Type checkers read the same list.

    Args:
        package: the ``__name__`` of the package.
        file: the ``__file__`` of the package.
        needing: prefixes of the names of modules that need LangGraph, LangChain or openai. Before such a module is
            imported, the versions of these packages are checked. An old one might import, and fail later.

    Raises:
        ConfigError: from ``__getattr__``: an installed package is too old.
    """
    homes = {name: home for home, name in _LISTED.findall(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))}

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            if homes[name].startswith(needing):
                _refuse_old()
            value = getattr(import_module(homes[name]), name)
        except (ImportError, AttributeError):
            _refuse_old()  # an old package may be the cause, and its error says more
            raise
        vars(sys.modules[package])[name] = value
        return value

    def dir_() -> list[str]:
        return sorted(homes)

    return getattr_, dir_, sorted(homes)


def _refuse_old() -> None:
    from ec_agent.support.versions import refuse_old

    refuse_old()


def needed(module: str, who: str, requirement: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: name of the module.
        who: beginning of the error: who needs the package, such as ``"the figures need"``.
        requirement: what to install with pip, such as ``"ec-agent[report]"``.

    Returns:
        The module.

    Raises:
        ConfigError: the package is not installed, or one that it needs is missing. The error says which.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        lacks = "" if error.name in (package, module) else f" ({error})"
        raise ConfigError(f"{who} {package}{lacks}; run: {installing(requirement)}") from error
