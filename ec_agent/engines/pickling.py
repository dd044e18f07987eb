"""What is sent between processes."""

from __future__ import annotations

import pickle
import sys
from typing import Any


def pickled(value: Any) -> bytes:
    """Pickle a value; where Ray is loaded, with its pickler, which also takes what the user's script defines."""
    ray: Any = sys.modules.get("ray")
    found: bytes = (pickle if ray is None else ray.cloudpickle).dumps(value)
    return found


def comes_back(error: BaseException) -> bool:
    """Whether an error can be pickled, and is of the same class where it arrives."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # an error of somebody else's class, whose pickling may raise anything
        return False
