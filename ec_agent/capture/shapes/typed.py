"""The bytes of a response -> its call, by typed decoding where msgspec is there (``ec-agent[fast]``).

Nothing that could read otherwise through ``json`` is taken: any surprise sends the bytes there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ec_agent.capture.shapes.aligning import bytes_of
from ec_agent.capture.shapes.payloads import Payload, payload_of_response
from ec_agent.capture.shapes.tokens import call_with
from ec_agent.capture.shapes.usual import usual_tokens
from ec_agent.errors import LogprobsError
from ec_agent.numbers.signals import TokenLogprobs
from ec_agent.numbers.trajectory import Call

_decoded: Callable[[bytes], Any]
try:
    from ec_agent.capture.shapes.completion import decoded as _decoded
except ImportError:  # without msgspec, json reads them all

    def _decoded(body: bytes) -> Any:
        return None


def read_json(body: bytes, signals: Sequence[str]) -> Call | Any:
    """The call in a usual chat completion, or what ``json`` makes of anything else.

    Raises:
        LogprobsError: it is not JSON.
    """
    completion = _decoded(body)
    if completion is not None and len(completion.choices) < 2:
        payload = payload_of_response(completion)
        usual = usual_tokens(payload.entries, payload.top_k)
        if usual is not None and (_placeable(payload)):
            return call_with(payload, TokenLogprobs(*usual), signals)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise LogprobsError(f"these bytes are not JSON ({error}); give the body of a response") from error


def _placeable(payload: Payload) -> bool:
    """Whether nothing is missing, or the texts tell where; tokens told by their bytes alone are not read here."""
    if (payload.tokens or 0) <= len(payload.entries):
        return True
    return None not in [bytes_of(entry) for entry in payload.entries]
