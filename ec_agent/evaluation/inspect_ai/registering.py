"""Inspect's decorators, with their types also where Inspect is not installed and types are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made", bound=Callable[..., Any])


def typed(decorator: Any) -> Callable[[Made], Made]:
    """The decorator, which gives back a function of the same type."""
    told: Callable[[Made], Made] = decorator
    return told
