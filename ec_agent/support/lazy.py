"""What is imported when it is first used: names of a package, and packages that only an extra installs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError

_LISTED = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)


def lazy_names(
    package: str, file: str, needing: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's ``__getattr__``, ``__dir__`` and ``__all__``, from the stub file beside its ``__init__.py``.

    The stub (``__init__.pyi``) lists each name once, for type checkers and for us: ``from module import name as name``.

    Args:
        package: its ``__name__``.
        file: its ``__file__``.
        needing: how the names of modules begin that import other people's packages, of which an old one might do no
            harm before it is used.

    Raises:
        ConfigError: from ``__getattr__``: an installed package is too old for the module.
    """
    homes = {name: home for home, name in _LISTED.findall(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))}

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            if homes[name].startswith(needing):
                _refuse_old()
            value = getattr(import_module(homes[name]), name)
        except (ImportError, AttributeError):  # where that is because of an old package, there is a better word for it
            _refuse_old()
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
    """A module of a package that not everybody has.

    Args:
        module: its import name.
        who: who needs it, as in ``"the figures need"``.
        requirement: what pip is asked for.

    Raises:
        ConfigError: it is not installed, or not whole: the error then says what it lacks.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        lacks = "" if error.name in (package, module) else f" ({error})"
        raise ConfigError(f"{who} {package}{lacks}; run: pip install '{requirement}'") from error
