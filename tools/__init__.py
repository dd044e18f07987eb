"""Tools the agents in ``graphs/`` use. A wrong argument gives a line starting ``Error:``, which the model reads."""

from __future__ import annotations

from tools.calculator import calculate
from tools.shop import product, weigh
from tools.units import convert

__all__ = ["calculate", "convert", "product", "weigh"]
