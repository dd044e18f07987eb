"""An OpenAI-compatible server that misbehaves in the rollouts it is told to: the request's seed says which one asks."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fake_openai import Answer, Asked, FakeOpenAI, _Handler, chat_chunks, chat_completion

LONG = 20.0  # seconds: longer than any test waits


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a rollout's requests; only one of these as a rule.

    Attributes:
        status: an HTTP error in place of an answer.
        headers: sent along with it.
        times: so many requests go wrong, and those after them well; ``None`` spoils all.
        reset: the connection is reset after this share of the body; the length announced is the whole one's.
        reset_after: the same after so many events of a stream.
        short: only this share of the body is sent, and announced: valid HTTP, broken JSON.
        kind: the content type of the answer.
        drip: seconds between the bytes of the body.
        silent_after: no further byte after that many.
        lasts: seconds until what is left of a slow body is sent at once.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    reset: float | None = None
    reset_after: int | None = None
    short: float = 1.0
    kind: str | None = None
    drip: float | None = None
    silent_after: int | None = None
    lasts: float = LONG


@dataclass
class BadServer(FakeOpenAI):
    """The server. Connections stay open until the client closes them, so a forgotten one shows.

    Attributes:
        faults: by seed; all others are answered well.
        entropies: of the answers, by seed.
        arrived: when each request came, by seed.
        lost: when clients were seen to be gone in the middle of an answer, by seed.
        connections: how many are open now.
        busy: how many of them wait for the rest of an answer.
    """

    faults: dict[int, Fault] = field(default_factory=dict)
    entropies: dict[int, list[float]] = field(default_factory=dict)
    arrived: dict[int, list[float]] = field(default_factory=dict)
    lost: dict[int, list[float]] = field(default_factory=dict)
    connections: int = 0
    busy: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.closing = threading.Event()

        class Handler(BadHandler):
            server_side = self

        self._http.RequestHandlerClass = Handler

    def close(self) -> None:
        self.closing.set()
        super().close()

    def count(self, *, connections: int = 0, busy: int = 0) -> None:
        with self._lock:
            self.connections += connections
            self.busy += busy

    def left(self, seed: int) -> None:
        with self._lock:
            self.lost.setdefault(seed, []).append(time.monotonic())

    def take(self, body: dict[str, Any]) -> tuple[Answer, Fault | None]:
        """How this request is answered, and what goes wrong with it."""
        seed = body["seed"]
        with self._lock:
            self.asked.append(Asked("", body))
            times = self.arrived.setdefault(seed, [])
            times.append(time.monotonic())
            fault = self.faults.get(seed)
            if fault is not None and fault.times is not None and len(times) > fault.times:
                fault = None
        return Answer(self.entropies[seed], text=f"answer {seed}"), fault


class BadHandler(_Handler):
    server_side: BadServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server_side.count(connections=1)

    def finish(self) -> None:
        self.server_side.count(connections=-1)
        super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # reset, by either side
            self.close_connection = True

    def do_POST(self) -> None:  # noqa: N802
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server_side.count(busy=1)
        try:
            self._misbehave(body)
        finally:
            self.server_side.count(busy=-1)

    def _misbehave(self, body: dict[str, Any]) -> None:
        answer, fault = self.server_side.take(body)
        fault = fault or Fault()
        events = None
        if fault.status is not None:
            parts = [json.dumps({"error": {"message": "as told", "type": "told", "code": None}}).encode()]
        elif body.get("stream"):
            events = [json.dumps(chunk) for chunk in chat_chunks(answer, body)] + ["[DONE]"]
            parts = [f"data: {event}\n\n".encode() for event in events]
        else:
            parts = [json.dumps(chat_completion(answer, body)).encode()]
        whole = b"".join(parts)
        sent = whole[: int(len(whole) * fault.short)]
        self.send_response(fault.status or 200)
        self.send_header("Content-Type", fault.kind or ("application/json" if events is None else "text/event-stream"))
        self.send_header("Content-Length", str(len(sent)))
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault.reset is not None:
            self._send_and_reset(sent[: int(len(sent) * fault.reset)])
        elif fault.reset_after is not None:
            self._send_and_reset(b"".join(parts[: fault.reset_after]))
        elif fault.drip is not None or fault.silent_after is not None:
            self._drip(sent, fault, body["seed"])
        else:
            self.wfile.write(sent)

    def _send_and_reset(self, part: bytes) -> None:
        self.wfile.write(part)
        time.sleep(0.05)  # so that what was sent is read first
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())  # at once, whoever else holds the socket object
        self.close_connection = True

    def _drip(self, body: bytes, fault: Fault, seed: int) -> None:
        end = time.monotonic() + fault.lasts
        for place in range(len(body)):
            silent = fault.silent_after is not None and place >= fault.silent_after
            while time.monotonic() < end:
                if self._gone(0.02 if silent else fault.drip or 0.0, seed):
                    self.close_connection = True
                    return
                if not silent:
                    break
            if time.monotonic() >= end:
                self.wfile.write(body[place:])
                return
            self.wfile.write(body[place : place + 1])

    def _gone(self, wait: float, seed: int) -> bool:
        """Wait a while; whether the client left in it, or the server is to close."""
        readable, _, _ = select.select([self.connection], [], [], wait)
        if readable:
            self.server_side.left(seed)
        return bool(readable) or self.server_side.closing.is_set()
