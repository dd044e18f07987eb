"""Reads the bytes of a response as a call, quickly if msgspec is installed (``ec-agent[fast]``).

msgspec decodes only what it was told to expect. If anything else is in the bytes, ``json`` reads them, so that the
result is always the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ec_agent.capture.shapes.aligning import bytes_of
from ec_agent.capture.shapes.calls import call_with
from ec_agent.capture.shapes.payload import Payload
from ec_agent.capture.shapes.quick_tokens import usual_tokens
from ec_agent.capture.shapes.readings import TokenSignals
from ec_agent.capture.shapes.whole_answers import payload_of_response
from ec_agent.errors import LogprobsError
from ec_agent.numbers.signals import TokenLogprobs
from ec_agent.numbers.trajectory import Call

_decoded: Callable[[bytes], Any]
try:
    from ec_agent.capture.shapes.completion_types import decoded as _decoded
except ImportError:  # msgspec is not installed

    def _decoded(body: bytes) -> Any:
        return None


def read_json(body: bytes, signals: Sequence[str]) -> Call | Any:
    """Read the bytes of a response.

    Args:
        body: the body of the response.
        signals: names of the signals to compute; the entropy must be among them.

    Returns:
        The call, for a usual chat completion; otherwise the value that ``json.loads`` returns.

    Raises:
        LogprobsError: the bytes are not JSON.
    """
    completion = _decoded(body)
    if completion is not None and len(completion.choices) < 2:
        payload = payload_of_response(completion)
        usual = usual_tokens(payload.entries, payload.top_k)
        if usual is not None and (_placeable(payload)):
            return call_with(payload, TokenSignals.of(TokenLogprobs(*usual), signals))
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise LogprobsError(f"these bytes are not JSON ({error}); give the body of a response") from error


def _placeable(payload: Payload) -> bool:
    """Tell whether no token is missing, or the texts of all tokens are known, which show where tokens are missing."""
    if (payload.tokens or 0) <= len(payload.entries):
        return True
    return None not in [bytes_of(entry) for entry in payload.entries]
