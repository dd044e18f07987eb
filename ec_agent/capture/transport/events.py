"""Takes logprobs out of server-sent events while they pass from the server to the client."""

from __future__ import annotations

from collections.abc import Callable

from ec_agent.capture.taken_logprobs import Event, TakenLogprobs

TakeOut = Callable[[bytes], tuple[bytes, Event] | None]

_BLANK = (b"\n", b"\r", b"\r\n")


class Events:
    """Processes the bytes of a stream, which come in parts that may end anywhere.

    An event is passed on as soon as it is complete; the client would not use it earlier either. If nothing was taken
    out of it, its bytes are not changed. Lines that are not the data of an event (comments, names) are passed on at
    once.

    Args:
        taken: gets what was taken, one item for each event that the client makes a chunk of.
        take_out: function that takes the logprobs out of the data of an event.
    """

    def __init__(self, taken: TakenLogprobs, take_out: TakeOut) -> None:
        self._taken, self._take_out = taken, take_out
        self._tail: list[bytes] = []
        self._after_cr = False
        self._held: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> bytes:
        """Take the next part of the stream, and return the bytes to pass on now. They may be empty."""
        out: list[bytes] = []
        if self._after_cr and part[:1] == b"\n":  # the line before ended with \r\n, which two parts divided
            if self._held:
                self._held[-1] += b"\n"
            else:
                out.append(b"\n")
            part = part[1:]
            self._after_cr = False
        if part:
            self._after_cr = part.endswith(b"\r")
        for line in part.splitlines(keepends=True):
            if line[-1:] not in b"\r\n":
                self._tail.append(line)
                continue
            if self._tail:
                line = b"".join((*self._tail, line))
                self._tail.clear()
            self._line(line, out)
        return b"".join(out)

    def finish(self) -> bytes:
        """Return the bytes that are left at the end of the body: the beginning of an incomplete event."""
        left = b"".join((*self._held, *self._tail))
        self._held, self._tail, self._data = [], [], []
        return left

    def _line(self, line: bytes, out: list[bytes]) -> None:
        name, value = _field(line)
        if name == b"data":
            self._held.append(line)
            self._data.append(value)
        elif line not in _BLANK or not self._held:
            (self._held if self._held else out).append(line)
        else:
            out += self._event()
            out.append(line)

    def _event(self) -> list[bytes]:
        held, data = self._held, b"\n".join(self._data)
        self._held, self._data = [], []
        if data.startswith(b"[DONE]"):
            return held
        found = self._take_out(data)
        self._taken.events.append(found[1] if found is not None else ())
        self._taken.took = self._taken.took or found is not None
        if found is None:
            return held
        others = [line.rstrip(b"\r\n") for line in held if _field(line)[0] != b"data"]
        return [line + b"\n" for line in (*(b"data: " + line for line in found[0].split(b"\n")), *others)]


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.rstrip(b"\r\n").partition(b":")
    return name, value[1:] if value[:1] == b" " else value
