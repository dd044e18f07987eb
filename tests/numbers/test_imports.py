"""The numbers stand alone: they import NumPy, and neither LangGraph nor LangChain."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FOREIGN = ("langgraph", "langchain", "langchain_core", "langsmith", "openai", "pydantic", "httpx", "typer", "rich")
ROOMS = ["entropy", "phases", "signals", "trajectory", "selectors", "many", "online", "percentiles", "entropy_files"]
PROBE = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported_by(*modules):
    done = subprocess.run([sys.executable, "-c", PROBE, *modules], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_alone(room):
    loaded = imported_by(f"ec_agent.{room}")
    assert "numpy" in loaded
    assert not loaded.intersection(FOREIGN)


def test_all_rooms_together():
    loaded = imported_by(*(f"ec_agent.{room}" for room in ROOMS))
    assert "numpy" in loaded
    assert not loaded.intersection(FOREIGN)
    third_party = loaded - set(sys.stdlib_module_names) - {"__main__", "ec_agent"}
    assert {name for name in third_party if not name.startswith(("_", "sitecustomize"))} == {"numpy"}


def test_the_probe_sees_what_is_imported():
    assert imported_by("langgraph.types").intersection(FOREIGN)
