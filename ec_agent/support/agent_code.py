"""What an agent's behaviour rests on besides its input: packages, source files, the model that variables name."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

WATCHED = ("EC_AGENT_MODEL", "OPENAI_BASE_URL", "EC_AGENT_LOCAL_MODEL")
"""Environment variables that give an agent another model."""

PACKAGES = ("ec-agent", "langgraph", "langchain-core", "openai", "numpy")
"""Packages of which every worker must have the driver's version."""

_parsing = threading.Lock()  # in Python 3.11 two threads that parse at once may get a SystemError
_INSTALLED = ("site-packages", "dist-packages")


def versions() -> dict[str, str | None]:
    """The versions of Python and of these packages here; ``None`` for one that is not installed."""
    return {"Python": ".".join(map(str, sys.version_info[:2])), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def models_named() -> dict[str, str | None]:
    """The environment variables that are set and give an agent another model, without logins."""
    return {name: without_login(os.environ[name]) for name in WATCHED if os.environ.get(name)}


def without_login(url: str | None) -> str | None:
    """A URL without the name and password that it may hold."""
    if url is None:
        return None
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


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
    alone = module.partition(".")[0] if any(part in _INSTALLED for part in root.parts) else None
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


@lru_cache(maxsize=256)  # each question on workers looks at the same files
def _imported(text: bytes, package: str) -> tuple[str, ...]:
    """The names that import statements name; of ``from a import b``, both ``a`` and ``a.b``, which may be no module."""
    try:
        with _parsing:
            tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a file that is only imported where it is needed
        return ()
    return tuple(_named(tree, package))


def _named(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*around, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{each.name}" for each in node.names))
