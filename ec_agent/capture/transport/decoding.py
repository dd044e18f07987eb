"""The decoder of this process: typed, by msgspec (``ec-agent[fast]``), or else by the JSON parser of pydantic."""

from __future__ import annotations

import re
from typing import Any, Protocol

from ec_agent.capture.taken_logprobs import Event, Taken
from ec_agent.capture.transport import plain_decoder
from ec_agent.capture.transport.plain_decoder import odd_bytes

_WHOLE_NUMBER = re.compile(rb'"logprob"\s*:\s*-?[0-9]+\s*[,}]')
"""A logprob such as ``0``, of which the client makes ``0.0``."""


class Decoder(Protocol):
    """Takes the logprobs out of JSON. All functions return ``None`` if there is nothing that they can take."""

    def of_whole(self, body: bytes) -> tuple[bytes, Taken] | None:
        """Take them out of the body of a whole answer."""
        ...

    def of_event(self, data: bytes) -> tuple[bytes, Event] | None:
        """Take them out of the data of one event of a streamed answer."""
        ...

    def of_content(self, logprobs: bytes) -> list[Any] | None:
        """Return the entries of the logprobs of one event, if they are usual but for their ``bytes``."""
        ...


def _decoder() -> Decoder:
    try:
        from ec_agent.capture.transport import decoder
    except ImportError:  # msgspec is not installed
        return plain_decoder
    return decoder


DECODER: Decoder = _decoder()


def usual_content(logprobs: bytes) -> bool:
    """Tell whether logprobs of one event have the form ``content``, and the client would change no value of them."""
    if odd_bytes(logprobs) or _WHOLE_NUMBER.search(logprobs):
        return False
    return DECODER.of_content(logprobs) is not None
