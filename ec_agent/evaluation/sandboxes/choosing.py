"""Which sandbox a name means; and that code is refused where there is none."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.sandboxes.base import Sandbox, SandboxLimits, run_python
from ec_agent.evaluation.sandboxes.bubblewrap import Bubblewrap
from ec_agent.evaluation.sandboxes.docker import Docker
from ec_agent.support.checks import or_none, text

NAMED, PYTHON = "EC_AGENT_SANDBOX", "EC_AGENT_SANDBOX_PYTHON"
"""Environment variables that name the sandbox, and the interpreter in it."""
HOW = (
    "install bubblewrap (apt-get install bubblewrap), or name an image of Docker's that has what the code needs: "
    f"{NAMED}=docker:IMAGE"
)


def sandbox_in(named: str | None, python: str | None) -> Sandbox:
    """The sandbox with that name; without one, bubblewrap.

    Args:
        named: ``"bwrap"``, ``"docker:IMAGE"``, or ``None`` for what the environment names, else ``bwrap``.
        python: the interpreter in it; ``None`` for what the environment names, else the one that runs here, or
            ``python3`` of the image.

    Raises:
        ConfigError: there is no such sandbox here, or none at all. Code that a model has written never runs outside.
    """
    or_none("sandbox", named, text, '"bwrap", "docker:IMAGE", or None')
    or_none("python", python, text, "the path of a Python, or None")
    named, python = named or os.environ.get(NAMED), python or os.environ.get(PYTHON)
    kind, _, image = (named or "bwrap").partition(":")
    if kind == "docker" and image:
        return Docker(image, python or "python3")
    if kind != "bwrap" or image:
        raise ConfigError(f'sandbox is {named!r}; give "bwrap" or "docker:IMAGE"')
    if named is None and shutil.which("bwrap") is None:
        raise ConfigError(f"these tasks run code that a model has written, and there is no sandbox for it: {HOW}")
    return Bubblewrap(python or sys.executable)


def run_in(
    sandbox: Sandbox, driver: str, given: Mapping[str, Any], *, bounds: SandboxLimits, folders: Sequence[Path] = ()
) -> Any:
    """``run_python`` with a mark that nobody can guess."""
    return run_python(
        sandbox, driver, given, bounds=bounds, folders=folders, mark=lambda: f"ec_agent_{secrets.token_hex(16)}"
    )


def check_modules(sandbox: Sandbox, modules: Mapping[str, str], folders: Sequence[Path] = ()) -> None:
    """See, before anything is paid for, that the sandbox runs and its Python has what drivers import.

    Args:
        sandbox: where.
        modules: name of a module -> what pip is asked for.
        folders: folders that it may read.

    Raises:
        ConfigError: it does not run, or a module is missing.
    """
    driver = (
        "from importlib.util import find_spec\ntell([name for name in given['modules'] if find_spec(name) is None])"
    )
    try:
        lacks = run_in(sandbox, driver, {"modules": list(modules)}, bounds=SandboxLimits(), folders=folders)
    except EvaluationError as error:
        raise ConfigError(f"{error}. Code that a model has written runs nowhere else: {HOW}") from error
    if lacks is None:
        raise ConfigError(f"the sandbox {sandbox.name} does not run Python to its end; try it by hand, or: {HOW}")
    if lacks:
        wanted = " ".join(modules[name] for name in lacks)
        raise ConfigError(
            f"the Python of the sandbox {sandbox.name} has no {lacks[0]}; install there: pip install {wanted}"
        )
