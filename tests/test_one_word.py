"""One word for one thing: a name of a class means one class."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import ec_agent

HOUSE = Path(ec_agent.__file__).parent


def classes():
    """Name of a class -> the modules that define one of that name; a private one is its module's own affair."""
    found = defaultdict(list)
    for path in sorted(HOUSE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(path.relative_to(HOUSE).as_posix())
    return found


def test_no_two_classes_have_one_name():
    twice = {name: modules for name, modules in classes().items() if len(modules) > 1}
    assert not twice, f"{twice}: call each what it is"
