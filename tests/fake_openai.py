"""An OpenAI-compatible server on 127.0.0.1 that answers as told, in the real wire format."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ec_agent.testing import logprobs_for

MODEL = "fake-model"
AUTO = "auto"


@dataclass
class Answer:
    """How one prompt is answered.

    Attributes:
        entropies: one generated token each, in nats; the text is ``w0 w1 ...``.
        usage: reported output tokens; ``AUTO`` is the number of entropies, ``None`` reports no usage.
        logprobs: sent in place of the logprobs that ``entropies`` stand for; ``False`` sends none.
        tool_calls: ``(name, arguments)`` each.
        more: entropies of further choices, as with ``n=2``.
        text: the message's content in place of ``w0 w1 ...``.
        finish: the finish reason.
        status: an HTTP error status in place of an answer.
        delay: seconds before the answer starts.
        pace: seconds between the chunks of a stream.
        drop_after: the connection breaks after that many chunks.
        logprobs_in: for the Responses API, where logprobs are sent: ``"both"``, ``"deltas"`` or ``"final"``.
        error: the message that goes with ``status``.
        raw: a content type and a body in place of anything else.
        reasoning: reasoning content beside the content.
        reasoning_tokens: reported as such.
    """

    entropies: Sequence[float | None] = (1.0,)
    usage: int | str | None = AUTO
    logprobs: Any = None
    tool_calls: Sequence[tuple[str, dict[str, Any]]] = ()
    more: Sequence[Sequence[float | None]] = ()
    text: str | None = None
    finish: str = "stop"
    status: int | None = None
    delay: float = 0.0
    pace: float = 0.0
    drop_after: int | None = None
    logprobs_in: str = "both"
    error: str = "as told"
    raw: tuple[str, bytes] | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None

    def content(self) -> str:
        return "".join(f"w{i} " for i in range(len(self.entropies))) if self.text is None else self.text

    def entries(self, entropies: Sequence[float | None] | None = None) -> list[dict[str, Any]]:
        return logprobs_for(self.entropies if entropies is None else entropies)

    def counted(self) -> int | None:
        if self.usage == AUTO:
            return len(self.entropies) + sum(len(more) for more in self.more)
        return self.usage  # type: ignore[return-value]


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    body: dict[str, Any]
    method: str = "POST"


Reaction = Answer | Sequence[Answer] | Callable[[dict[str, Any]], Answer]


@dataclass
class FakeOpenAI:
    """The server. ``answers[prompt]`` says how the last message's text is answered.

    A list is followed one answer a request, its last one for all further requests. ``otherwise`` answers all other
    prompts. ``refuse(path, body)`` may return the message of a 400. ``keeps_alive``: connections stay open between
    whole answers, as those of real servers do.
    """

    answers: dict[str, Reaction] = field(default_factory=dict)
    refuse: Callable[[str, dict[str, Any]], str | None] = lambda path, body: None
    asked: list[Asked] = field(default_factory=list)
    otherwise: Reaction = field(default_factory=Answer)
    keeps_alive: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[str, int] = {}
        fake = self

        class Handler(_Handler):
            server_side = fake
            protocol_version = "HTTP/1.1" if fake.keeps_alive else "HTTP/1.0"

        self._http = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def bodies(self, prompt: str | None = None) -> list[dict[str, Any]]:
        with self._lock:
            return [a.body for a in self.asked if prompt is None or prompt_of(a.body) == prompt]

    def answer(self, asked: Asked) -> Answer:
        prompt = prompt_of(asked.body)
        with self._lock:
            self.asked.append(asked)
            reaction = self.answers.get(prompt, self.otherwise)
            if isinstance(reaction, Sequence):
                turn = self._taken.get(prompt, 0)
                self._taken[prompt] = turn + 1
                reaction = reaction[min(turn, len(reaction) - 1)]
        return reaction if isinstance(reaction, Answer) else reaction(asked.body)


def prompt_of(body: dict[str, Any]) -> str:
    """The text of the last message, whichever endpoint it was sent to."""
    messages = body.get("messages") or body.get("input") or body.get("prompt") or ""
    if isinstance(messages, str):
        return messages
    last = messages[-1]
    if isinstance(last, str):
        return last
    content = last.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def chat_usage(count: int | None, reasoning: int | None = None) -> dict[str, Any] | None:
    if count is None:
        return None
    details = {} if reasoning is None else {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    return {
        "prompt_tokens": 7,
        "completion_tokens": count,
        "total_tokens": 7 + count,
        "prompt_tokens_details": {"cached_tokens": 3},
        **details,
    }


def chat_completion(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """What ``/v1/chat/completions`` answers."""
    choices = []
    for index, entropies in enumerate([answer.entropies, *answer.more]):
        message: dict[str, Any] = {"role": "assistant", "content": answer.content(), "refusal": None}
        if answer.reasoning is not None:
            message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["content"] = None
            message["tool_calls"] = [
                {"id": f"call_{i}", "type": "function", "function": {"name": n, "arguments": json.dumps(a)}}
                for i, (n, a) in enumerate(answer.tool_calls)
            ]
        logprobs = None
        if body.get("logprobs") and answer.logprobs is not False:
            logprobs = {"content": answer.entries(entropies), "refusal": None}
            if answer.logprobs is not None:
                logprobs = answer.logprobs
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": logprobs,
                "finish_reason": "tool_calls" if answer.tool_calls else answer.finish,
            }
        )
    usage = chat_usage(answer.counted(), answer.reasoning_tokens)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": choices,
        **({"usage": usage} if usage else {}),
    }


def chat_chunks(answer: Answer, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as server-sent events: one token of each choice in turn."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    rows = [answer.entries(entropies) for entropies in [answer.entropies, *answer.more]]
    wanted = body.get("logprobs") and answer.logprobs is not False

    def chunk(index: int, delta: dict[str, Any], logprobs: Any = None, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**base, "choices": [choice]}

    chunks = [chunk(i, {"role": "assistant", "content": ""}) for i in range(len(rows))]
    if answer.reasoning is not None:
        chunks.append(chunk(0, {"reasoning_content": answer.reasoning}))
    if answer.logprobs:
        content = {} if answer.tool_calls else {"content": answer.content()}
        chunks.append(chunk(0, content, answer.logprobs if wanted else None))
    else:
        for place in range(max(len(row) for row in rows)):
            for index, row in enumerate(rows):
                if place < len(row):
                    logprobs = {"content": [row[place]], "refusal": None} if wanted else None
                    text = f"w{place} "
                    if answer.text is not None:
                        text = answer.text[place:] if place == len(row) - 1 else answer.text[place : place + 1]
                    chunks.append(chunk(index, {} if answer.tool_calls else {"content": text}, logprobs))
    for i, (name, arguments) in enumerate(answer.tool_calls):
        call = {
            "index": i,
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        chunks.append(chunk(0, {"tool_calls": [call]}))
    chunks += [chunk(i, {}, None, "tool_calls" if answer.tool_calls else answer.finish) for i in range(len(rows))]
    usage = chat_usage(answer.counted(), answer.reasoning_tokens)
    if usage and (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**base, "choices": [], "usage": usage})
    return chunks


def legacy_completion(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """What ``/v1/completions`` answers, with its parallel lists of logprobs; one choice a prompt."""
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    choices = []
    for index, entropies in enumerate([answer.entropies, *answer.more][: max(len(prompts), 1 + len(answer.more))]):
        entries = answer.entries(entropies)
        logprobs = {
            "tokens": [e["token"] for e in entries],
            "token_logprobs": [e["logprob"] for e in entries],
            "top_logprobs": [{c["token"]: c["logprob"] for c in e["top_logprobs"]} or None for e in entries],
            "text_offset": list(range(len(entries))),
        }
        choices.append(
            {
                "index": index,
                "text": answer.content(),
                "logprobs": logprobs if body.get("logprobs") is not None and answer.logprobs is not False else None,
                "finish_reason": answer.finish,
            }
        )
    usage = chat_usage(answer.counted())
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": MODEL,
        "choices": choices,
        **({"usage": usage} if usage else {}),
    }


def legacy_chunks(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as server-sent events, a token each."""
    chunks = []
    for choice in whole["choices"]:
        for place, text in enumerate(choice["text"].split(" ")[:-1]):
            logprobs = choice["logprobs"] and {
                name: rows[place : place + 1] for name, rows in choice["logprobs"].items()
            }
            part = {**choice, "text": f"{text} ", "logprobs": logprobs, "finish_reason": None}
            chunks.append({**whole, "choices": [part]})
        chunks.append({**whole, "choices": [{**choice, "text": "", "logprobs": None}]})
    return [{name: value for name, value in chunk.items() if name != "usage"} for chunk in chunks]


def response(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """What ``/v1/responses`` answers."""
    wanted = "message.output_text.logprobs" in (body.get("include") or [])
    part: dict[str, Any] = {"type": "output_text", "text": answer.content(), "annotations": []}
    if wanted and answer.logprobs is not False and answer.logprobs_in != "deltas":
        part["logprobs"] = answer.entries() if answer.logprobs is None else answer.logprobs
    status = "incomplete" if answer.finish == "length" else "completed"
    count = answer.counted()
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": MODEL,
        "error": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": [part]},
        ],
        "usage": count
        if count is None
        else {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens": count,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 7 + count,
        },
    }


def response_events(answer: Answer, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as server-sent events."""
    whole = response(answer, body)
    wanted = "message.output_text.logprobs" in (body.get("include") or [])
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    at = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": whole["output"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]},
        {"type": "response.output_item.added", "output_index": 1, "item": message},
        {"type": "response.content_part.added", **at, "part": part},
    ]
    for place, entry in enumerate(answer.entries()):
        kept = [entry] if wanted and answer.logprobs is not False and answer.logprobs_in != "final" else []
        events.append({"type": "response.output_text.delta", **at, "delta": f"w{place} ", "logprobs": kept})
    final_part = whole["output"][1]["content"][0]
    events += [
        {
            "type": "response.output_text.done",
            **at,
            "text": answer.content(),
            "logprobs": final_part.get("logprobs", []),
        },
        {"type": "response.content_part.done", **at, "part": final_part},
        {"type": "response.output_item.done", "output_index": 1, "item": whole["output"][1]},
        {"type": f"response.{whole['status']}", "response": whole},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # many rollouts connect at once


class _Handler(BaseHTTPRequestHandler):
    server_side: FakeOpenAI

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server_side.asked.append(Asked(self.path, {}, "GET"))
        if self.path.split("?")[0].endswith("/chat/completions"):
            stored = [chat_completion(Answer(), {})]
            self._json({"object": "list", "data": stored, "has_more": False})
        else:
            self._json(response(Answer(), {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if (refusal := self.server_side.refuse(self.path, body)) is not None:
            self.server_side.asked.append(Asked(self.path, body))
            self._json({"error": {"message": refusal, "type": "invalid_request_error", "code": 400}}, 400)
            return
        answer = self.server_side.answer(Asked(self.path, body))
        time.sleep(answer.delay)
        if answer.raw is not None:
            self._send(*answer.raw, answer.status or 200)
            return
        if answer.status is not None:
            self._json({"error": {"message": answer.error, "type": "told", "code": None}}, answer.status)
            return
        path = self.path.split("?")[0]
        if path.endswith("/chat/completions"):
            if body.get("stream"):
                self._events(answer, chat_chunks(answer, body))
            else:
                self._json(chat_completion(answer, body))
        elif path.endswith("/completions"):
            whole = legacy_completion(answer, body)
            if body.get("stream"):
                self._events(answer, legacy_chunks(whole))
            else:
                self._json(whole)
        elif path.endswith("/responses"):
            if body.get("stream"):
                self._events(answer, response_events(answer, body), named=True)
            else:
                self._json(response(answer, body))
        else:  # embeddings: a request that generates nothing
            vector = {"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}
            self._json(
                {"object": "list", "data": [vector], "model": MODEL, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
            )

    def _json(self, body: Any, status: int = 200) -> None:
        self._send("application/json", json.dumps(body).encode(), status)

    def _send(self, kind: str, sent: bytes, status: int) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(sent)))
            if status >= 500:
                self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(sent)
        except ConnectionError:
            self.close_connection = True

    def _events(self, answer: Answer, events: Sequence[dict[str, Any]], named: bool = False) -> None:
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            if answer.drop_after is not None:  # promised more than will come, so the client sees a broken stream
                self.send_header("Content-Length", "10000000")
            self.end_headers()
            for place, event in enumerate(events):
                if place == answer.drop_after:
                    self.wfile.flush()
                    return
                name = f"event: {event['type']}\n" if named else ""
                self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
                time.sleep(answer.pace)
            if not named:
                self.wfile.write(b"data: [DONE]\n\n")
        except ConnectionError:
            self.close_connection = True
