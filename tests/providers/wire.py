"""A small HTTP server on 127.0.0.1 that speaks whatever wire format it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from said import PLAIN, Turn
from served_here import Handler, Served


@dataclass(frozen=True)
class Asked:
    """One request: its path, without host, and its JSON body."""

    path: str
    body: dict[str, Any]

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))


@dataclass(frozen=True)
class Reply:
    """What goes back: the pieces are flushed one by one."""

    pieces: tuple[bytes, ...]
    kind: str = "application/json"
    status: int = 200


def as_json(body: Any, status: int = 200) -> Reply:
    return Reply((json.dumps(body).encode(),), status=status)


def as_events(events: Iterable[Any], *, done: bool = True) -> Reply:
    """Server-sent events without names, with OpenAI's mark for the end."""
    pieces = tuple(f"data: {json.dumps(event)}\n\n".encode() for event in events)
    return Reply((*pieces, b"data: [DONE]\n\n") if done else pieces, "text/event-stream")


def as_typed_events(events: Iterable[Any]) -> Reply:
    """Server-sent events whose name is their ``type``."""
    return as_named_events((event["type"], event) for event in events)


def as_named_events(events: Iterable[tuple[str, Any]]) -> Reply:
    """Server-sent events, a name and its data each."""
    pieces = (f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in events)
    return Reply(tuple(pieces), "text/event-stream")


def as_lines(lines: Iterable[Any]) -> Reply:
    """One JSON object a line."""
    return Reply(tuple(json.dumps(line).encode() + b"\n" for line in lines), "application/x-ndjson")


Wire = Callable[[Turn, Asked], Reply]


@dataclass
class Server(Served):
    """Answers every request with ``turn``, written in ``wire``."""

    wire: Wire | None = None
    turn: Turn = PLAIN
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        Served.__init__(self, _Handler)

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if self.wire is None:
            return as_json({"error": "no wire format was told"}, 500)
        return self.wire(self.turn, asked)


class _Handler(Handler):
    of: Server

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        if len(reply.pieces) == 1:
            self.send_header("Content-Length", str(len(reply.pieces[0])))
        self.end_headers()
        for piece in reply.pieces:
            self.wfile.write(piece)
            self.wfile.flush()

    def answer(self, body: bytes) -> None:
        self._send(self.of.answer(Asked(self.path, json.loads(body or b"{}"))))
