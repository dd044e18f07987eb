"""How numbers, shares, counts and intervals are written: in tables, on pages, in sentences."""

from __future__ import annotations

import math
from typing import Protocol

NONE = "-"
"""What stands where there is no number."""


class Interval(Protocol):
    """A number and the ends of its interval; ``None`` for what is not known."""

    @property
    def value(self) -> float | None:
        """The number."""

    @property
    def low(self) -> float | None:
        """The lower end."""

    @property
    def high(self) -> float | None:
        """The upper end."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, or a dash where there is none."""
    return NONE if value is None else f"{value:.{digits}f}"


def percent(share: float | None, decimals: int = 0) -> str:
    """A share as ``35%``, or a dash where there is none.

    What is not quite all is not written as 100%, nor what is not quite nothing as 0%: there are as many decimals as it
    takes, so that 0.9996 is ``99.96%``.
    """
    if share is None:
        return NONE
    whole = round(share) if math.isfinite(share) else share
    if abs(share - whole) > 1e-9:  # more than a rounding error
        while float(f"{share:.{decimals}%}"[:-1]) == 100 * whole and decimals < 9:
            decimals += 1
    return f"{share:.{decimals}%}"


def interval(found: Interval, signed: bool = False) -> str:
    """``0.522 [0.44, 0.60]``; without an interval the number alone, without a number a dash."""
    if found.value is None:
        return NONE
    sign = "+" if signed else ""
    ends = "" if found.low is None else f" [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"
    return f"{found.value:{sign}.3f}{ends}"


def p_value(value: float | None) -> str:
    """``0.042``, or ``< .001``."""
    if value is None:
        return NONE
    return "< .001" if value < 0.001 else f"{value:.3f}"


def many(count: float, thing: str) -> str:
    """``1 call``, ``2,000 calls``."""
    return f"{count:,.0f} {thing}{'' if count == 1 else 's'}"
