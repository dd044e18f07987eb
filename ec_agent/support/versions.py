"""Checks the versions of LangGraph, langchain-core and openai before they are imported.

An old version may fail at an import, or in the middle of a run, with an error that does not name the cause. The check
gives one clear error instead.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ec_agent.errors import ConfigError

NEEDED = {"langgraph": ">=1.2.18,<2", "langchain-core": ">=1.7,<2", "openai": ">=3.50,<4"}
"""Required versions, the same as in ``pyproject.toml``."""


@cache
def refuse_old() -> None:
    """Check that no installed package of ``NEEDED`` is too old.

    A package that is not installed, or does not tell its version, is not checked; importing it will show.

    Raises:
        ConfigError: a package is too old. The error names all of them, and the pip command that helps.
    """
    found = {package: installed for package in NEEDED if (installed := _installed(package)) is not None}
    old = [package for package, installed in found.items() if _release(installed) < _release(NEEDED[package])]
    if old:
        has = ", ".join(f"{package} {found[package]}" for package in old)
        needs = ", ".join(f"{package} {_least(package)} or newer" for package in old)
        get = " ".join(f"'{package}{NEEDED[package]}'" for package in old)
        raise ConfigError(f"ec_agent needs {needs}; installed is {has}. Run: pip install --upgrade {get}")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _least(package: str) -> str:
    return NEEDED[package].partition(",")[0].removeprefix(">=")


def _release(said: str) -> tuple[int, ...]:
    """Return the numbers at the beginning of a version or requirement, such as ``(1, 2)`` for ``1.2.0rc1``.

    Zeros at the end are dropped, because 1.2.0 and 1.2 are the same version.
    """
    match = re.match(r"(?:>=)?v?(?:\d+!)?(\d+(?:\.\d+)*)", said)
    numbers = [int(each) for each in match[1].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
