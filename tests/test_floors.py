"""Imports run downhill: a room imports those on lower floors only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ec_agent

HOUSE = Path(ec_agent.__file__).parent
FLOORS = [  # from the ground up; rooms of one floor do not import one another
    ["errors"],
    ["support"],
    ["engines", "numbers"],
    ["insides"],
    ["capture", "environments", "local", "selectors"],
    ["bulk", "commits", "evaluator", "judges", "prompted", "stopping", "testing"],
    ["doctor", "probability"],
    ["rollouts"],
    ["tracing", "visual"],
    ["traces"],
    ["logs"],
    ["live", "evaluation"],
    ["cli"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = {path.relative_to(HOUSE).as_posix(): path for path in sorted(HOUSE.rglob("*.py")) if path.parent != HOUSE}
FILES |= {f"{room}.py": HOUSE / f"{room}.py" for room in FLOOR_OF if (HOUSE / f"{room}.py").exists()}


def imported(path: Path) -> set[str]:
    """The rooms whose modules are imported when this one is: neither within functions nor for type checkers."""
    rooms, todo = set(), list(ast.parse(path.read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            rooms |= {name.split(".")[1] for name in names if name.startswith("ec_agent.")}
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            todo += ast.iter_child_nodes(node)
    return rooms


def test_every_room_has_a_floor():
    rooms = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(FLOOR_OF)


@pytest.mark.parametrize("file", FILES)
def test_imports_run_downhill(file):
    room = file.partition("/")[0].removesuffix(".py")
    uphill = {other for other in imported(FILES[file]) - {room} if FLOOR_OF[other] >= FLOOR_OF[room]}
    assert not uphill, f"{file} imports from {uphill}, which is no lower than {room}"
