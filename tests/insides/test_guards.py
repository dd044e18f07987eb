"""Each function in ``ec_agent/insides`` is used by a test of this folder, so that a break names the piece."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSIDES = HERE.parents[1] / "ec_agent" / "insides"


def names_used(path):
    """All names that a test uses or imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name | ast.alias):
            yield getattr(node, "id", None) or node.name


USED = {name for path in HERE.glob("test_*.py") for name in names_used(path)}


def unguarded(source, used):
    """The public functions of a module that no test uses."""
    made = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in made if not node.name.startswith("_") and node.name not in used]


@pytest.mark.parametrize("path", sorted(INSIDES.glob("*.py")), ids=lambda path: path.stem)
def test_each_function_has_a_guard(path):
    assert unguarded(path.read_text(encoding="utf-8"), USED) == []


def test_a_function_without_a_guard_is_seen():
    assert unguarded("def one(): ...\ndef two(): ...\ndef _own(): ...", {"one"}) == ["two"]
