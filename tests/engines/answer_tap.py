"""A server between the client and an engine. It keeps the bytes of every answer, and can send one a second time."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from served_here import Handler, Served


@dataclass(frozen=True)
class Exchange:
    """A request, and the answer exactly as the engine sent it.

    Attributes:
        path: path of the request, from ``/v1`` on.
        asked: the request's JSON; empty for a GET.
        status: HTTP status of the answer.
        kind: its content type.
        body: its bytes.
    """

    path: str
    asked: Mapping[str, Any]
    status: int
    kind: str
    body: bytes

    @property
    def streamed(self) -> bool:
        return self.kind.startswith("text/event-stream")

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON of a whole answer."""
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON of each event of a stream."""
        lines = self.body.decode().splitlines()
        data = [line[len("data:") :].strip() for line in lines if line.startswith("data:")]
        return [json.loads(each) for each in data if each and each != "[DONE]"]


class Tap(Served):
    """Passes requests on to an engine, and keeps what comes back.

    Args:
        target: base URL of the engine, ending in ``/v1``.
        headers: headers that a gateway needs with each request.

    """

    def __init__(self, target: str, headers: Mapping[str, str] | None = None) -> None:
        self.target, self.headers = urlsplit(target), dict(headers or {})
        self._exchanges: list[Exchange] = []
        self._passing = 0
        self._passed = threading.Condition()
        self._again: Exchange | None = None
        super().__init__(_Handler)
        self.url += "/v1"

    @property
    def exchanges(self) -> list[Exchange]:
        """Everything that passed, in the order in which answers ended; a client may know of an end before we do."""
        with self._passed:
            if not self._passed.wait_for(lambda: self._passing == 0, 30):
                raise TimeoutError("an answer is still on its way")
            return list(self._exchanges)

    @contextmanager
    def keeping(self) -> Iterator[list[Exchange]]:
        """Count the block as an exchange on its way; keep what it puts into the list."""
        with self._passed:
            self._passing += 1
        came: list[Exchange] = []
        try:
            yield came
        finally:
            with self._passed:
                self._passing -= 1
                self._exchanges += came
                self._passed.notify_all()

    @contextmanager
    def replaying(self, exchange: Exchange) -> Iterator[None]:
        """Inside the ``with`` block, answer every request with the bytes of this answer; the engine is not asked."""
        self._again = exchange
        try:
            yield
        finally:
            self._again = None

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(Handler):
    of: Tap

    def answer(self, body: bytes) -> None:
        again = self.of._again
        if again is not None:
            self._head(again.status, again.kind)
            self.wfile.write(again.body)
            return
        with self.of.keeping() as came:
            try:
                came.append(self._passed_on(body))
            except OSError as error:  # the engine is gone; say so as a gateway would
                self._head(502, "application/json")
                self.wfile.write(json.dumps({"error": {"message": repr(error)}}).encode())

    def _passed_on(self, body: bytes) -> Exchange:
        engine = http.client.HTTPConnection(self.of.target.hostname or "", self.of.target.port, timeout=900)
        parts = []
        try:
            path = self.of.target.path.removesuffix("/v1") + self.path
            engine.request(self.command, path, body or None, {"Content-Type": "application/json", **self.of.headers})
            answer = engine.getresponse()
            kind = answer.headers.get("Content-Type", "")
            self._head(answer.status, kind)
            while part := answer.read1(65536):
                parts.append(part)
                self.wfile.write(part)
                self.wfile.flush()
        finally:
            engine.close()
        return Exchange(self.path, json.loads(body) if body else {}, answer.status, kind, b"".join(parts))

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
