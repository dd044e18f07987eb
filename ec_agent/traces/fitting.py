"""Makes odd values of servers, tools and agents fit into a trace store, so that they never prevent storing a rollout.

Text that UTF-8 cannot hold is escaped (``text_of``). A whole number of more than 64 bits is stored as unknown. A value
that JSON does not know is stored as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ec_agent.errors import EcAgentError, TraceError
from ec_agent.rollouts.selection import Selection
from ec_agent.support.from_plain import MOST_WHOLE
from ec_agent.traces.actions import json_of


def whole_of(value: Any) -> int | None:
    """Return a whole number if SQLite can store it, and ``None`` for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return None
    return int(value) if -MOST_WHOLE <= value < MOST_WHOLE else None


def settings_of(values: Mapping[Any, Any]) -> str:
    """Write a mapping as a JSON object, whatever its keys and values are."""
    return json.dumps({str(name): json.loads(json_of(value)) for name, value in values.items()})


def receipt_of(selection: Selection) -> str:
    """Write a receipt as JSON text.

    Raises:
        TraceError: the text could not be read as a receipt again. Storing it would make the store unreadable.
    """
    plain = json_of(selection.to_dict())
    try:
        Selection.from_dict(json.loads(plain))
    except EcAgentError as error:
        raise TraceError(
            f"the receipt cannot be stored ({error}); check what the selector returned and what sampling= holds"
        ) from error
    return plain
