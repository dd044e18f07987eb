"""Names of parametrised tests that are the same in every process, as several workers need them."""

from __future__ import annotations

import re
from typing import Any


def named(value: Any) -> str:
    """The value's ``repr`` without memory addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
