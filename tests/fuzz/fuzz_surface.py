"""What is public: the names of ``__all__``, and those that README and docs import or name, found by themselves."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

import pydantic

ROOT = Path(__file__).parents[2]
INTERNAL = {
    "ec_agent.capture.shapes": "readers of what servers sent; fed with damaged answers in tests/providers",
    "ec_agent.evaluation.inspect_ai": "needs an environment of its own; tests/inspect_bridge",
}
"""Modules with ``__all__`` that are not for users, or not here, and why."""
ALSO = (
    ("ec_agent.evaluation.adapters", "load"),
    ("ec_agent.evaluation.adapters.turns", "in_turns"),
    ("ec_agent.evaluation.jsonl", "read_jsonl"),
    ("ec_agent.evaluation.model", "ModelSettings"),
    ("ec_agent.evaluation.tuning", "default_grid"),
    ("ec_agent.evaluation.tuning", "tune"),
    ("ec_agent.evaluation.tuning_stops", "tune_stop"),
    ("ec_agent.rollouts.settings_files", "Setting"),
    ("ec_agent.rollouts.settings_files", "save_settings"),
    ("ec_agent.stopping.spelling", "plan_in"),
    ("ec_agent.environments.worlds", "in_environment"),
)
"""What users may come to without reading of it: the command line's own functions."""


@dataclass(frozen=True)
class Argument:
    """One argument of a public callable."""

    name: str
    annotation: Any
    kind: Any


def public_names() -> dict[str, Any]:
    """``module.name`` -> what it is, each object once, where it has the shortest name."""
    found: dict[str, Any] = {}
    for module in sorted(_modules(), key=len):
        loaded = importlib.import_module(module)
        found |= {f"{module}.{name}": getattr(loaded, name) for name in loaded.__all__}
    for module, name in sorted({*_documented(), *ALSO}):
        if (value := getattr(importlib.import_module(module), name, None)) is not None:
            found.setdefault(f"{module}.{name}", value)
    once: dict[int, str] = {}
    for place in sorted(found, key=lambda place: (place.count("."), place)):
        once.setdefault(id(found[place]), place)
    return {place: found[place] for place in sorted(once.values())}


def _modules() -> Iterator[str]:
    for file in (ROOT / "ec_agent").rglob("*.py"):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if module not in INTERNAL and re.search(
            r"^[^\n#\"]*\b__all__\b.*=", file.read_text(encoding="utf-8"), re.MULTILINE
        ):
            yield module


def _documented() -> Iterator[tuple[str, str]]:
    for page in (
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").glob("*.py"),
        *(ROOT / "graphs").glob("*.py"),
    ):
        text = page.read_text(encoding="utf-8")
        for module, block, line in re.findall(r"from (ec_agent[\w.]*) import (?:\(([^)]*)\)|([^\n#`(]*))", text):
            if module not in INTERNAL:
                yield from ((module, name) for name in re.findall(r"\w+", block or line))
        for module, name in re.findall(r"`(ec_agent(?:\.[a-z_]+)+)\.(\w+)", text):
            if _is_there(module):
                yield module, name


def _is_there(module: str) -> bool:
    """Tell whether there is such a module: pages also have attributes of spans, `ec_agent.call.signal.entropy`."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def callables() -> dict[str, Any]:
    """``module.name`` or ``module.Class.method`` -> what is called; nothing of it is a plain value or an error."""
    found: dict[str, Any] = {}
    for place, value in public_names().items():
        if (
            inspect.ismodule(value)
            or not callable(value)
            or getattr(value, "__module__", "").partition(".")[0] != "ec_agent"
        ):
            continue
        if not isinstance(value, type):
            found[place] = value
        elif not issubclass(value, BaseException | Enum) and not getattr(value, "_is_protocol", False):
            found[place] = value
            found |= {f"{place}.{name}": method for name, method in _methods(value)}
    return {place: value for place, value in found.items() if arguments_of(value)}


def _methods(owner: type) -> Iterator[tuple[str, Any]]:
    for name in dir(owner):
        if name.startswith("_") and name != "__call__":
            continue
        home = next((kind for kind in owner.__mro__ if name in vars(kind)), None)
        if home is None or not home.__module__.startswith("ec_agent") or isinstance(vars(home)[name], property):
            continue
        if name == "__call__" and "__call__" not in vars(owner):
            continue
        if callable(value := getattr(owner, name)) and not isinstance(value, type):
            yield name, value


def arguments_of(what: Any) -> list[Argument]:
    """The arguments that somebody may give, those of ``**options`` that are declared one by one included."""
    if isinstance(what, type) and issubclass(what, pydantic.BaseModel):
        own = [
            name
            for kind in what.__mro__
            if kind.__module__.startswith("ec_agent")
            for name in vars(kind).get("__annotations__", {})
        ]
        return [
            Argument(name, what.model_fields[name].annotation, None)
            for name in dict.fromkeys(own)
            if name in what.model_fields
        ]
    try:
        hints = get_type_hints(
            what.__init__ if isinstance(what, type) and not hasattr(what, "__dataclass_fields__") else what
        )
    except Exception:
        hints = {}
    found = []
    for name, parameter in inspect.signature(what).parameters.items():
        if name == "self" or (
            name.startswith("_") and parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ):
            continue
        hint = hints.get(name, Any)
        if parameter.kind is parameter.VAR_KEYWORD:
            options = getattr(hint, "__args__", None)
            if options and hasattr(options[0], "__annotations__"):
                found += [
                    Argument(option, kind, parameter.KEYWORD_ONLY)
                    for option, kind in get_type_hints(options[0]).items()
                ]
            continue
        found.append(Argument(name, hint, parameter.kind))
    return found
