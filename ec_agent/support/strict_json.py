"""JSON that every reader takes: Python's own writes NaN and infinite numbers as words that are no JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any


def strict_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """The value as JSON text, with ``null`` in place of numbers that are not finite.

    Args:
        value: what ``json.dumps`` takes.
        default: as there.
    """
    try:
        return json.dumps(value, default=default, allow_nan=False)
    except ValueError:  # a number that is not finite; for anything else it is raised again
        return json.dumps(_finite(json.loads(json.dumps(value, default=default))), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
