"""Which agent a file's rollouts are of: its name, its code, its model. A run goes on with the same one only."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ec_agent.errors import TraceError
from ec_agent.evaluation.model import ModelSettings, without_login
from ec_agent.traces.stored import AGENT_CHANGES

WATCHED = ("EC_AGENT_MODEL", "OPENAI_BASE_URL")
"""Environment variables that give an agent another model."""

SAID = "agent_about"
CHANGED = AGENT_CHANGES
"""What a file calls the agent's description, and what was different in later parts of the run."""

_PACKAGES = ("site-packages", "dist-packages")


def about_agent(place: str, model: ModelSettings | None = None) -> dict[str, Any]:
    """What tells the agent at a place from one that was changed.

    Its source files with a hash of each; the model that the command line names, with its endpoint and arguments, or
    else what the environment names. Keys are never part of it. Files that the agent reads while it runs are not seen.

    Args:
        place: ``module:name``; the module has been imported.
        model: the model it is made with, if it is.

    Returns:
        Plain JSON; equal for equal agents.
    """
    there = {name: without_login(os.environ[name]) for name in WATCHED if os.environ.get(name)}
    named = model.lasting() if model else there
    return {**{f"file {name}": mark for name, mark in code_of(place.partition(":")[0]).items()}, **named}


def code_of(module: str) -> dict[str, str]:
    """The source files that a module's behaviour rests on, with a hash of each.

    They are its own and those of the modules that it imports, directly or not, from the folder that its top-level
    package or module lies in; of an installed agent, its own package. They are read, never run.

    Args:
        module: its name; it can be imported.

    Returns:
        Path relative to that folder -> the first 16 hex digits of the file's SHA-256.
    """
    place = _source(module)
    if place is None:
        return {}
    root = place.parents[module.count(".") + (place.name == "__init__.py")]
    alone = module.partition(".")[0] if any(part in _PACKAGES for part in root.parts) else None
    found: dict[str, str] = {}
    waiting, seen = [module], {""}
    while waiting:
        name = waiting.pop()
        head = name.partition(".")[0]
        if name in seen or head == "ec_agent" or alone not in (None, head):
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        waiting.append(parent)
        path = root.joinpath(*name.split("."))
        for file, package in ((path / "__init__.py", name), (path.with_name(f"{path.name}.py"), parent)):
            if file.is_file():
                text = file.read_bytes()
                found[file.relative_to(root).as_posix()] = hashlib.sha256(text).hexdigest()[:16]
                waiting += _imported(text, package)
                break
    return dict(sorted(found.items()))


def _source(module: str) -> Path | None:
    """The source file of a module; ``None`` where there is none."""
    try:
        spec = getattr(sys.modules.get(module), "__spec__", None) or importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    file = spec.origin if spec is not None and spec.has_location else None
    return Path(file).resolve() if file and file.endswith(".py") else None


def _imported(text: bytes, package: str) -> Iterator[str]:
    """The names that import statements name; of ``from a import b``, both ``a`` and ``a.b``, which may be no module."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a file that is only imported where it is needed
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*around, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{each.name}" for each in node.names))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """How two descriptions of an agent differ, in words."""
    lines = []
    for name in dict.fromkeys([*there, *here]):
        if there.get(name) == here.get(name):
            continue
        if not name.startswith("file "):
            lines.append(f"{name} was {_shown(there.get(name))}, and is {_shown(here.get(name))} now")
        elif name in there and name in here:
            lines.append(f"{name} has changed")
        else:
            lines.append(f"{name} is {'gone' if name in there else 'new'}")
    return lines


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)


def refuse_another(name: str, changes: list[str]) -> None:
    """Refuse to go on with a file of results that was begun with an agent that has changed since.

    Args:
        name: the name of the file.
        changes: what has changed, one sentence each, from ``differences``.

    Raises:
        TraceError: always.
    """
    raise TraceError(
        f"{name} was begun with another agent:\n"
        + "\n".join(f"  {line}" for line in changes)
        + "\nName another file (--out) for the changed agent, or start over with --fresh. If the change makes no "
        "difference to what it does, go on with --same-agent"
    )
