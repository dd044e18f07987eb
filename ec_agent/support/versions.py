"""Which versions of other packages are needed, and one clear error where an older one is installed.

Old packages fail anywhere: at a name that is not there yet, or in the middle of a run. So whoever needs them asks here
first, before they are imported.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ec_agent.errors import ConfigError

NEEDED = {"langgraph": ">=1.2,<2", "langchain-core": ">=1.7,<2", "openai": ">=3.50,<4"}
"""As ``pyproject.toml`` has them."""


@cache
def refuse_old() -> None:
    """See that no installed package of ``NEEDED`` is too old.

    What is not installed, or does not say its version, is left to the import.

    Raises:
        ConfigError: one is; the error names every such package, and says how to get what is needed.
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
    """The numbers that a version, or a requirement, begins with: ``(1, 2)`` of ``1.2.0rc1``, for 1.2.0 is 1.2."""
    match = re.match(r"(?:>=)?v?(?:\d+!)?(\d+(?:\.\d+)*)", said)
    numbers = [int(each) for each in match[1].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
