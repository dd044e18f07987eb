"""The numbers stand alone: they import NumPy, and neither LangGraph nor LangChain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ec_agent import numbers

FOREIGN = ("langgraph", "langchain", "langchain_core", "langsmith", "openai", "pydantic", "httpx", "typer", "rich")
MODULES = [f"numbers.{path.stem}" for path in sorted(Path(numbers.__file__).parent.glob("[a-z]*.py"))]
MODULES += ["selectors", "stopping.agreement", "stopping.asking"]
PROBE = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported_by(*modules):
    done = subprocess.run([sys.executable, "-c", PROBE, *modules], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.members(4)
@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_alone(module):
    loaded = imported_by(f"ec_agent.{module}")
    assert "numpy" in loaded
    assert not loaded.intersection(FOREIGN)


def test_all_modules_together():
    loaded = imported_by(*(f"ec_agent.{module}" for module in MODULES))
    assert "numpy" in loaded
    assert not loaded.intersection(FOREIGN)
    third_party = loaded - set(sys.stdlib_module_names) - {"__main__", "ec_agent"}
    others = ("_", "sitecustomize", "cython_runtime")  # the last is NumPy 1's own
    assert {name for name in third_party if not name.startswith(others)} == {"numpy"}


def test_the_probe_sees_what_is_imported():
    assert imported_by("langgraph.types").intersection(FOREIGN)
