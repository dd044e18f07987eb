"""Runs in the environment of mistral.rs: its Python API behind HTTP, each of its objects written as JSON as it is.

python bridge_mistralrs.py MODEL.gguf PORT
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mistralrs import ChatCompletionRequest, Runner, ToolChoice, Which

PASSED = {"logprobs", "top_logprobs", "temperature", "top_p", "stream"}
RENAMED = {"max_tokens": "max_tokens", "max_completion_tokens": "max_tokens", "n": "n_choices", "stop": "stop_seqs"}


def plain(thing):
    """Objects as dicts of what can be read of them."""
    if thing is None or isinstance(thing, str | int | float | bool):
        return thing
    if isinstance(thing, bytes):
        return list(thing)
    if isinstance(thing, dict):
        return {str(name): plain(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(each) for each in thing]
    names = (name for name in dir(thing) if not name.startswith("_"))
    found = {name: plain(value) for name in names if not callable(value := getattr(thing, name))}
    return found or str(thing).rpartition(".")[2].lower()


def request_of(asked):
    given = {name: asked[name] for name in PASSED & asked.keys()}
    given |= {RENAMED[name]: asked[name] for name in RENAMED.keys() & asked.keys()}
    if isinstance(given.get("stop_seqs"), str):
        given["stop_seqs"] = [given["stop_seqs"]]
    if tools := asked.get("tools"):
        given["tool_schemas"] = [json.dumps(tool) for tool in tools]
        given["tool_choice"] = ToolChoice.Auto
    form = asked.get("response_format") or {}
    if form.get("type") == "json_schema":
        given |= {"grammar_type": "json_schema", "grammar": json.dumps(form["json_schema"]["schema"])}
    messages = [{"role": each["role"], "content": each.get("content") or ""} for each in asked["messages"]]
    return ChatCompletionRequest(messages=messages, model=asked.get("model", "default"), **given)


class Handler(BaseHTTPRequestHandler):
    runner: Runner
    one_at_a_time = threading.Lock()  # a Runner that answers raises "Already borrowed" at a second request

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._send(200, {"object": "list", "data": [{"id": "default", "object": "model"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith("/chat/completions"):
            self._send(404, {"error": {"message": "Not Found"}})
            return
        with self.one_at_a_time:
            self._answer(asked)

    def _answer(self, asked):
        try:
            answer = self.runner.send_chat_completion_request(request_of(asked))
            if not asked.get("stream"):
                self._send(200, plain(answer))
                return
            self._head(200, "text/event-stream")
            for chunk in answer:
                self.wfile.write(b"data: " + json.dumps(plain(chunk)).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")
        except (ValueError, TypeError) as error:
            self._send(400, {"error": {"message": str(error)}})

    def _send(self, status, body):
        self._head(status, "application/json")
        self.wfile.write(json.dumps(body).encode())

    def _head(self, status, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()


if __name__ == "__main__":
    model = Path(sys.argv[1])
    Handler.runner = Runner(which=Which.GGUF(quantized_model_id=str(model.parent), quantized_filename=model.name))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
