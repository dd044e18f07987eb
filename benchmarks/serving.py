"""An endpoint in a process of its own, so that its CPU time is not the client's: ``python -m benchmarks.serving``."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from benchmarks.data import completion_of, drawn_logprobs

TOKENS = 2_000
KINDS = {"plain": False, "bytes": True}
"""The first part of a path, and whether candidates come with their ``bytes``; under ``none`` no logprobs come."""
WORDS = 300
"""Tokens of the answers under ``short``, which have no logprobs, and of which no two are equal."""
SHORT = "short-"
"""Before a kind: the answer has ``WORDS`` tokens."""
TIES = "ties"
"""A kind of short answers: the candidates beyond the tenth have equal logprobs, and come with their ``bytes``."""


@contextmanager
def serving() -> Iterator[str]:
    """The endpoint's address, to which ``/plain/v1``, ``/bytes/v1``, ``/none/v1`` or ``/short/v1`` is added."""
    command = [sys.executable, "-m", "benchmarks.serving"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def bare(body: bytes) -> bytes:
    """A chat completion, or an event of one, without its logprobs."""
    whole = json.loads(body)
    for choice in whole["choices"]:
        choice["logprobs"] = None
    return json.dumps(whole).encode()


def short_answers() -> Iterator[bytes]:
    """Chat completions without logprobs. A third of them agree on the number they end with."""
    whole = json.loads(bare(completion_of(drawn_logprobs(WORDS))))
    for number in range(96):
        whole["choices"][0]["message"]["content"] = f"{number}:{' word' * (WORDS - 4)} so {number % 3}"
        yield json.dumps(whole).encode()


def streamed(body: bytes) -> list[bytes]:
    """A chat completion as the events it would have been, a token each."""
    whole = json.loads(body)
    (choice,) = whole.pop("choices")
    usage = whole.pop("usage")
    base = {**whole, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], logprobs: Any = None, finish: str | None = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]}

    said = [chunk({"content": " word"}, {"content": [entry]}) for entry in choice["logprobs"]["content"]]
    ends = [chunk({}, finish="stop"), {**base, "choices": [], "usage": usage}]
    chunks = [chunk({"role": "assistant", "content": ""}), *said, *ends]
    return [json.dumps(event).encode() for event in chunks]


def as_body(events: list[bytes]) -> bytes:
    """Events as they are sent."""
    return b"".join(b"data: " + event + b"\n\n" for event in (*events, b"[DONE]"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[tuple[str, bool], Iterator[bytes]]] = {}

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        stream = bool(asked.get("stream"))
        answer = next(self.answers[self.path.split("/")[1], stream])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if stream else "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main() -> None:
    """Serve until killed; the port is printed."""
    for prefix, tokens in (("", TOKENS), (SHORT, WORDS)):
        logprobs = drawn_logprobs(tokens)
        wholes = {kind: completion_of(logprobs, with_bytes=with_bytes) for kind, with_bytes in KINDS.items()}
        if prefix:
            logprobs[:, 10:] = logprobs[:, 10:11]
            wholes[TIES] = completion_of(logprobs, with_bytes=True)
        streams = {kind: streamed(body) for kind, body in wholes.items()}
        wholes["none"], streams["none"] = bare(wholes["plain"]), list(map(bare, streams["plain"]))
        _Handler.answers |= {(prefix + kind, False): itertools.repeat(body) for kind, body in wholes.items()}
        _Handler.answers |= {(prefix + kind, True): itertools.repeat(as_body(each)) for kind, each in streams.items()}
    _Handler.answers["short", False] = itertools.cycle(list(short_answers()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
