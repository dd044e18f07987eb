"""Whatever we print as JSON is JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ec_agent.support.strict_json import strict_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "null"),
        ({"a": [1.5, -math.inf, {"b": math.inf}], "c": True}, '{"a": [1.5, null, {"b": null}], "c": true}'),
        ({"a": (math.nan, "NaN")}, '{"a": [null, "NaN"]}'),
        ({1: math.nan}, '{"1": null}'),
        ([0.1, None, "é"], '[0.1, null, "\\u00e9"]'),
    ],
)
def test_numbers_that_are_not_finite_are_null(value, text):
    assert strict_json(value) == text


def test_what_json_does_not_know_is_raised_or_told():
    with pytest.raises(TypeError):
        strict_json({"a": object(), "b": math.nan})
    assert strict_json({"a": Path("x"), "b": math.nan}, default=str) == '{"a": "x", "b": null}'


def test_a_cycle_is_raised():
    ring = []
    ring.append(ring)
    with pytest.raises(ValueError, match="Circular"):
        strict_json(ring)


def test_no_command_prints_json_in_another_way():
    """A guard: ``json.dumps`` writes NaN."""
    folder = Path(strict_json.__code__.co_filename).parent / "cli"
    for module in folder.glob("*.py"):
        assert "print(json.dumps" not in module.read_text(), module.name


def test_finite_values_are_those_of_json():
    value = {"a": [1, 2.5, None, True], "b": {"c": "x"}}
    assert json.loads(strict_json(value)) == value
