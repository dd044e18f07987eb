"""A calculator: arithmetic given as text, evaluated by a grammar of its own and never by ``eval``."""

from __future__ import annotations

from typing import Annotated

from langchain_core.tools import tool

from ec_agent import read_only
from ec_agent.support.escaping import clipped
from tools.arithmetic import MAX_LENGTH, ExpressionError, Number, evaluated
from tools.schema import shaped

# Arithmetic needs no quotes, no square brackets and no underscores, so a model held to the pattern cannot write any.
# It only guides: what does not fit it gets an ``Error:`` line of ours rather than a validation error.
Expression = Annotated[str, *shaped(r"^[0-9a-z .,+*/%()-]+$", "such as 3 * 4.50")]


@read_only
@tool
def calculate(expression: Expression) -> str:
    """Calculate a sum such as 3 * 4.50 + 2 * 12.

    Knows + - * / // % **, round brackets, abs, min, max, round, sqrt and pi.

    Args:
        expression: at most 200 characters, on one line.

    Returns:
        The value to 6 decimals, or a line starting ``Error:`` that says what is wrong.
    """
    try:
        return _shown(evaluated(expression))
    except ExpressionError as problem:
        return f"Error: cannot calculate {clipped(expression[:MAX_LENGTH], 80)}: {problem}."


def _shown(value: Number) -> str:
    if isinstance(value, int):
        return str(value)
    value = round(value, 6) + 0.0  # no -0
    return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else f"{value:.6e}"
