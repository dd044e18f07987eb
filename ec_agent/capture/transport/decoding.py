"""The decoder of this process: typed, by msgspec (``ec-agent[fast]``), or else by the JSON parser of pydantic."""

from __future__ import annotations

from typing import Any, Protocol

from ec_agent.capture.taken_logprobs import Event, Taken


class Decoder(Protocol):
    """Takes the logprobs out of JSON. All functions return ``None`` if there is nothing that they can take."""

    def of_whole(self, body: bytes) -> tuple[bytes, Taken] | None:
        """Take them out of the body of a whole answer."""
        ...

    def of_event(self, data: bytes) -> tuple[bytes, Event] | None:
        """Take them out of the data of one event of a streamed answer."""
        ...

    def of_content(self, logprobs: bytes) -> list[Any] | None:
        """Return the entries of the logprobs of one event, if they are usual."""
        ...


def _decoder() -> Decoder:
    try:
        from ec_agent.capture.transport import decoder
    except ImportError:  # msgspec is not installed
        from ec_agent.capture.transport import plain_decoder

        return plain_decoder
    return decoder


DECODER: Decoder = _decoder()
