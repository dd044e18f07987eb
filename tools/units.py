"""A unit converter."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Annotated, Any

from langchain_core.tools import tool

from ec_agent import read_only
from ec_agent.support.escaping import clipped
from tools.schema import shaped

MAX_LENGTH = 60  # characters
_FACTOR = r"[A-Za-zµ°_]+((\^|\*\*)-?[1-9])?"  # pint's own parser calculates m**9**9**9 until the memory ends

# The patterns guide a model that is held to them; anything else gets an ``Error:`` line, not a validation error.
Quantity = Annotated[
    str,
    *shaped(r"^[0-9.]+ [A-Za-z/]+$", "a number and its unit, such as 350 g"),
]
Unit = Annotated[str, *shaped(r"^[A-Za-z/]+$", "such as pounds or km/h")]


@read_only
@tool
def convert(quantity: Quantity, to: Unit) -> str:
    """Convert a quantity to another unit.

    Args:
        quantity: a number and its unit, such as ``350 g``.
        to: the unit wanted, such as ``pounds``.

    Returns:
        The quantity to 4 significant digits with its unit, or a line starting ``Error:`` that says what is wrong.
    """
    if max(len(quantity), len(to)) > MAX_LENGTH:
        return f"Error: give at most {MAX_LENGTH} characters."
    number, _, unit = quantity.strip().partition(" ")
    try:
        value = float(number)
    except ValueError:
        return f"Error: {clipped(quantity, MAX_LENGTH)} does not start with a number and a space."
    for name in (unit, to):
        if not re.fullmatch(rf"{_FACTOR}([ */]{_FACTOR})*", name):
            return f"Error: {clipped(name, MAX_LENGTH) or 'nothing'} is not a unit; give one such as g, pounds or km/h."
    registry = _registry()
    try:
        converted = float(registry.Quantity(value, registry.Unit(unit)).to(registry.Unit(to)).magnitude)
    except Exception as error:  # pint's own family, and its parser's
        return f"Error: cannot convert {quantity.strip()} to {to} ({clipped(error, 200)})."
    return f"{converted:.4g} {to}" if math.isfinite(converted) else "Error: the value is not finite."


@lru_cache(maxsize=1)
def _registry() -> Any:
    try:
        import pint
    except ImportError as error:
        raise ImportError("the unit converter needs pint; in the clone run: pip install '.[demo]'") from error
    return pint.UnitRegistry()
