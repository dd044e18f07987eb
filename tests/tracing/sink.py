"""A local HTTP server that keeps what tracing tools send, and answers as they expect."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROJECT = "11111111-1111-4111-8111-111111111111"
_INGEST = {
    "use_multipart_endpoint": True,
    "size_limit": 100,
    "size_limit_bytes": 20_971_520,
    "scale_up_qsize_trigger": 1000,
    "scale_up_nthreads_limit": 16,
    "scale_down_nempty_trigger": 4,
}
_INFO = {"version": "0.12.0", "batch_ingest_config": _INGEST}
_SESSION = {
    "id": PROJECT,
    "name": "p",
    "tenant_id": PROJECT,
    "start_time": "2026-01-01T00:00:00",
    "reference_dataset_id": None,
}


class Sent(NamedTuple):
    """One request, its body unpacked."""

    method: str
    path: str
    headers: Message
    body: bytes


class Sink(ThreadingHTTPServer):
    """Running at `sink.url`; `answer(path)` gives status and body of what it answers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Callable[[str], tuple[int, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answer = answer
        self.sent: list[Sent] = []

    def text(self) -> str:
        """Every body that came, in one string."""
        return "\n".join(sent.body.decode(errors="replace") for sent in self.sent)

    def spans(self) -> list[Any]:
        """What an OTLP exporter sent, decoded."""
        requests = [ExportTraceServiceRequest.FromString(s.body) for s in self.sent if s.path == "/v1/traces"]
        resources = [resource for request in requests for resource in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def parts(self, kind: str) -> list[Any]:
        """What LangSmith's client sent of one kind: runs at their `post`, at their `patch`, or `feedback`."""
        found: dict[str, Any] = {}
        for sent in (sent for sent in self.sent if sent.path == "/runs/multipart"):
            head = f"Content-Type: {sent.headers['Content-Type']}\r\n\r\n".encode()
            for part in BytesParser().parsebytes(head + sent.body).get_payload():
                name, _, detail = part.get_param("name", header="content-disposition").partition(".")
                which, _, field = detail.partition(".")  # post.<id>, and then post.<id>.inputs and the like
                told = json.loads(part.get_payload(decode=True))
                if name == kind:
                    found.setdefault(which, {}).update({field: told} if field else told)
        return list(found.values())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Sink

    def _serve(self) -> None:
        body = self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else self._whole()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.sent.append(Sent(self.command, self.path, self.headers, body))
        status, answer = self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def _whole(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(answer: Callable[[str], tuple[int, bytes]] = lambda path: (200, b"")) -> Iterator[Sink]:
    """A sink on a free port of this machine, until the end of the block."""
    with Sink(answer) as sink:
        thread = threading.Thread(target=sink.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            sink.shutdown()
            thread.join()


def langsmith_answers(path: str) -> tuple[int, bytes]:
    """What a LangSmith server answers, as far as its client looks at it."""
    if path.startswith("/info"):
        return 200, json.dumps(_INFO).encode()
    return 200, json.dumps([_SESSION] if path.startswith("/sessions") else {}).encode()
