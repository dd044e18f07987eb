"""A calculator: arithmetic given as text, evaluated without ``eval``."""

from __future__ import annotations

import math
from typing import Annotated, Any

from langchain_core.tools import tool

from tools.schema import shaped

MAX_LENGTH = 200  # characters
MAX_DIGITS = 100

# Arithmetic needs no quotes, no square brackets and no underscores, so a model held to the pattern cannot write any.
# It only guides: what does not fit it gets an ``Error:`` line of ours rather than a validation error.
Expression = Annotated[str, *shaped(r"^[0-9a-z .,+*/%()-]+$", "such as 3 * 4.50")]


@tool
def calculate(expression: Expression) -> str:
    """Calculate a sum such as 3 * 4.50 + 2 * 12.

    Knows + - * / // % **, round brackets, abs, min, max, round, sqrt and pi.

    Args:
        expression: at most 200 characters.

    Returns:
        The value to 6 decimals, or a line starting ``Error:`` that says what is wrong.
    """
    if len(expression) > MAX_LENGTH:
        return f"Error: the expression has {len(expression)} characters; give at most {MAX_LENGTH}."
    evaluator = _evaluator()
    try:
        return _shown(evaluator.eval(expression.strip()))
    except ZeroDivisionError:
        return "Error: division by zero."
    except Exception as error:  # simpleeval's own family, and whatever the arithmetic raises
        return f"Error: cannot calculate {expression} ({error})."


def _evaluator() -> Any:
    try:
        import simpleeval  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError("the calculator needs simpleeval; run: pip install 'ec_agent[demo]'") from error
    functions = {"abs": abs, "min": min, "max": max, "round": round, "sqrt": math.sqrt}
    evaluator = simpleeval.SimpleEval(functions=functions, names={"pi": math.pi})
    evaluator.operators[simpleeval.ast.Pow] = _power
    return evaluator


def _power(base: Any, exponent: Any) -> Any:
    # simpleeval bounds base and exponent each by itself, which still lets whole numbers of millions of digits through.
    if isinstance(base, int) and isinstance(exponent, int) and base and exponent > 0:
        if exponent * math.log10(abs(base)) >= MAX_DIGITS:
            raise ValueError(f"the power has more than {MAX_DIGITS} digits")
        return int(base**exponent)
    return float(base) ** float(exponent)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "Error: the value is not a real number."
    if isinstance(value, int):
        return str(value) if abs(value) < 10**MAX_DIGITS else f"Error: more than {MAX_DIGITS} digits."
    if not math.isfinite(value):
        return "Error: the value is not finite."
    value = round(value, 6) + 0.0  # no -0
    return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else f"{value:.6e}"
