"""The package ``bfcl-eval`` without the 60 packages it asks for: its data, its checkers, its simulated services.

It is imported from the wheels that ``ec-agent fetch bfcl`` keeps, or as installed, where it is.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module, resources
from importlib.util import find_spec
from threading import RLock
from typing import Any

from ec_agent.local.fetch import fetch_bfcl

MODEL = "ec_agent"  # the checkers ask for a model's name, to know how it spells functions and to keep worlds apart

_lock = RLock()


def records(file: str) -> Iterator[dict[str, Any]]:
    """The lines of one of its data files, read."""
    _importable()
    with resources.files("bfcl_eval").joinpath("data", file).open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


@lru_cache(maxsize=32)
def documents(file: str) -> list[dict[str, Any]]:
    """The same, kept: for files that many tasks share."""
    return list(records(file))


def module(name: str) -> Any:
    """One of its modules, by the name below the package."""
    _importable()
    return import_module(f"bfcl_eval.{name}")


def ast_checker() -> Callable[..., dict[str, Any]]:
    """The checker of single calls."""
    with _lock:
        _importable()
        needed, name = "bfcl_eval.eval_checker.ast_eval.ast_checker", "bfcl_eval.constants.model_config"
        if needed in sys.modules or name in sys.modules:
            return import_module(needed).ast_checker  # type: ignore[no-any-return]
        # The true table of models imports the client of every provider. One thing is read from it: whether a model
        # writes "math_sqrt" for "math.sqrt". Calls come here with their true names.
        stand_in = types.ModuleType(name)
        stand_in.MODEL_CONFIG_MAPPING = {MODEL.replace("_", "/"): types.SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
        sys.modules[name] = stand_in
        try:
            return import_module(needed).ast_checker  # type: ignore[no-any-return]
        finally:
            del sys.modules[name]


def _importable() -> None:
    with _lock:
        if find_spec("bfcl_eval") is None:
            # At the end: what is installed of mpmath comes before.
            sys.path.extend(str(wheel) for wheel in fetch_bfcl())


_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
_KEPT = ("description", "enum", "default")


def json_schema(described: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a parameter, or of all, from BFCL's description of it, which names types as Python does."""
    kind = described.get("type", "string")
    schema: dict[str, Any] = {"type": _TYPES.get(kind, kind)}
    schema |= {key: described[key] for key in _KEPT if key in described}
    if "properties" in described:
        schema["properties"] = {name: json_schema(value) for name, value in described["properties"].items()}
        schema["required"] = [name for name in described.get("required", ()) if name in schema["properties"]]
    if "items" in described:
        schema["items"] = json_schema(described["items"])
    return schema
