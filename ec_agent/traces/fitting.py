"""What servers, tools and agents say, made to fit the columns of a trace file: none of it may keep a rollout from it.

Text is written as ``text_of`` has it, a whole number beyond 64 bits is unknown, and what JSON does not know is text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ec_agent.errors import EcAgentError, TraceError
from ec_agent.rollouts.selection import Selection
from ec_agent.support.plain import MOST_WHOLE
from ec_agent.traces.actions import json_of


def whole_of(value: Any) -> int | None:
    """A whole number that SQLite can hold; ``None`` for one that it cannot, and for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return None
    return int(value) if -MOST_WHOLE <= value < MOST_WHOLE else None


def settings_of(values: Mapping[Any, Any]) -> str:
    """A mapping as a JSON object, whatever its keys and values are."""
    return json.dumps({str(name): json.loads(json_of(value)) for name, value in values.items()})


def receipt_of(selection: Selection) -> str:
    """A receipt as JSON.

    Raises:
        TraceError: it could not be read again, which would spoil the file for its readers.
    """
    plain = json_of(selection.to_dict())
    try:
        Selection.from_dict(json.loads(plain))
    except EcAgentError as error:
        raise TraceError(f"the receipt cannot be stored ({error}); see what the selector and sampling= gave") from error
    return plain
