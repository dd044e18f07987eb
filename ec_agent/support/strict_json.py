"""Writes JSON that every reader accepts. Python's own writer puts in ``NaN`` and ``Infinity``, which are not JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any


def strict_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Write a value as JSON text, with ``null`` in place of numbers that are not finite.

    Args:
        value: anything that ``json.dumps`` accepts.
        default: function for values that JSON does not know, as in ``json.dumps``.
    """
    try:
        return json.dumps(value, default=default, allow_nan=False)
    except ValueError:  # a number is not finite; any other cause raises the same error again in the next line
        return json.dumps(_finite(json.loads(json.dumps(value, default=default))), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
