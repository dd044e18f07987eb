"""A fake OpenAI-compatible endpoint on a free port: it answers what it is told and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = {
    "token": "a",
    "logprob": -0.1,
    "bytes": [97],
    "top_logprobs": [
        {"token": "a", "logprob": -0.1, "bytes": [97]},
        {"token": "b", "logprob": -2.4, "bytes": [98]},
    ],
}


def completion(text, *, finish="stop", logprobs=True, cached=3):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text},
                "logprobs": {"content": [TOKEN]} if logprobs else None,
            }
        ],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 1,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


class Endpoint:
    """Attributes: ``replies`` (status, JSON or text; the last one stays), ``asked`` (requests), ``headers``."""

    def __init__(self):
        self.replies, self.asked, self.headers = [], [], []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.asked.append(json.loads(body))
                endpoint.headers.append(self.headers)
                status, reply = endpoint.replies.pop(0) if len(endpoint.replies) > 1 else endpoint.replies[0]
                data = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(reply, str) else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def says(self, *texts, **kwargs):
        self.replies = [(200, completion(text, **kwargs)) for text in texts]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
