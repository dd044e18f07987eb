"""A local mail server and a local HTTP endpoint that count what reaches them, from whichever process it comes.

A delivery is on the list before its sender gets the answer, so whoever was answered is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Coroutine, Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from weakref import WeakSet

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

BACKLOG = 1024  # connections that may wait, so that a crowd of senders is not turned away


class Mail(NamedTuple):
    """One message that was accepted; the key is its X-Idempotency-Key, or its Message-ID where it has none."""

    key: str | None
    recipients: tuple[str, ...]
    body: str


class Post(NamedTuple):
    """One HTTP POST that was counted."""

    path: str
    key: str | None
    body: Any


class SmtpSink:
    """A running mail server: `smtplib.SMTP("127.0.0.1", sink.port)` sends to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deliveries: list[Mail] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self._socket.getsockname()[1]

    @property
    def deliveries(self) -> list[Mail]:
        """All messages accepted so far, in order; mail servers take the same message twice."""
        with self._lock:
            return list(self._deliveries)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        message = message_from_bytes(envelope.content)
        key = message["X-Idempotency-Key"] or message["Message-ID"]
        if key is not None:
            key = " ".join(str(key).split())  # a long header comes on several lines
        part = next((part for part in message.walk() if part.get_content_maintype() == "text"), None)
        body = ""
        if part is not None:
            content = part.get_payload(decode=True).decode(part.get_content_charset("utf-8"), "replace")
            body = content.replace("\r\n", "\n").rstrip("\n")
        with self._lock:
            self._deliveries.append(Mail(key, tuple(envelope.rcpt_tos), body))
        return "250 OK"


class _Controller(Controller):
    """Serves on a socket that is bound already: the port is known before the start, and nobody else can take it."""

    def __init__(self, sink: SmtpSink) -> None:
        super().__init__(sink, hostname="127.0.0.1", port=sink.port, server_hostname="localhost")
        self._sink = sink
        self._served: WeakSet[SMTP] = WeakSet()

    def factory(self) -> SMTP:
        served = super().factory()
        self._served.add(served)
        return served

    def stop(self, no_assert: bool = False) -> None:
        """Take no more connections, and do not wait for those that senders keep open."""
        if self.server is not None:
            asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(10)
        super().stop(no_assert)

    async def _hang_up(self) -> None:
        self.loop.remove_reader(self._sink._socket)
        for _ in range(5):  # a connection just accepted has no transport before the loop's next rounds
            await asyncio.sleep(0)
        for served in list(self._served):
            if served.transport is not None:
                served.transport.abort()
        await asyncio.sleep(0)

    def _create_server(self) -> Coroutine[Any, Any, Any]:
        return self.loop.create_server(self._factory_invoker, sock=self._sink._socket, backlog=BACKLOG)


@contextlib.contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """A mail server on a free port of this machine, until the end of the block."""
    sink = SmtpSink()
    controller = _Controller(sink)
    try:
        controller.start()
        yield sink
    finally:
        controller.stop(no_assert=True)
        sink._socket.close()


class HttpSink(ThreadingHTTPServer):
    """A running HTTP endpoint: a POST of JSON to any path below `sink.url` is a delivery."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG

    def __init__(self, *, dedupe: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port: int = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.repeats = 0
        self._dedupe = dedupe
        self._lock = threading.Lock()
        self._deliveries: list[Post] = []
        self._answers: dict[str, bytes] = {}
        self._connections: set[socket.socket] = set()

    @property
    def deliveries(self) -> list[Post]:
        """All POSTs counted so far, in order; `repeats` says how many more were answered but not counted."""
        with self._lock:
            return list(self._deliveries)

    def deliver(self, post: Post) -> bytes:
        """Count it, and say what to answer."""
        with self._lock:
            if self._dedupe and post.key is not None and post.key in self._answers:
                self.repeats += 1
                return self._answers[post.key]
            self._deliveries.append(post)
            answer = json.dumps({"delivery": len(self._deliveries)}).encode()
            if post.key is not None:
                self._answers[post.key] = answer
            return answer

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to say: a sender that is killed halfway breaks its connection."""

    def hang_up(self) -> None:
        """End the connections that senders keep open, and with them their threads."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    server: HttpSink

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(sent)
        except ValueError:
            self._answer(400, b'{"error": "not JSON"}')
            return
        self._answer(200, self.server.deliver(Post(self.path, self.headers.get("Idempotency-Key"), body)))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def http_sink(*, dedupe: bool = False) -> Iterator[HttpSink]:
    """An HTTP endpoint on a free port of this machine, until the end of the block.

    With `dedupe` a repeated Idempotency-Key gets the first answer again and is not counted.
    """
    with HttpSink(dedupe=dedupe) as sink:
        thread = threading.Thread(target=sink.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            sink.shutdown()
            thread.join()
            sink.hang_up()
