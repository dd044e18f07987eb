"""Ollama's own API: ``POST /api/chat``, one JSON object a line when streamed.

Written to its client's types, ollama 0.6.3; the server returns logprobs since 0.12.11.
"""

from __future__ import annotations

from typing import Any

from said import Token, Turn
from wire import Asked, Reply, as_json, as_lines

BASE = {"model": "gemma3", "created_at": "2026-01-01T00:00:00Z"}


def entry(token: Token) -> dict[str, Any]:
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": token.bytes,
        "top_logprobs": [{"token": t, "logprob": lp, "bytes": list(t.encode())} for t, lp in token.candidates],
    }


def chat(turn: Turn, asked: Asked) -> Reply:
    """Thinking and text come with logprobs, tool calls without (ollama/ollama #13092)."""
    body = asked.body
    wanted = bool(body.get("logprobs")) and bool(body.get("top_logprobs"))

    def part(message: dict[str, Any], *tokens: Token) -> dict[str, Any]:
        logprobs = {"logprobs": [entry(t) for t in tokens]} if wanted and tokens else {}
        return {**BASE, "message": {"role": "assistant", "content": "", **message}, "done": False, **logprobs}

    calls = [{"function": {"name": turn.name, "arguments": turn.arguments}}] if turn.call else []
    end = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 1,
        "load_duration": 1,
        "prompt_eval_count": 7,
        "prompt_eval_duration": 1,
        "eval_count": len(turn.tokens),
        "eval_duration": 1,
    }
    if not body.get("stream", True):
        message = {"content": turn.text, **({"thinking": turn.thought} if turn.thinking else {})}
        message |= {"tool_calls": calls} if calls else {}
        return as_json({**part(message, *turn.thinking, *turn.content), **end})
    lines = [part({"thinking": t.text}, t) for t in turn.thinking]
    lines += [part({"content": t.text}, t) for t in turn.content]
    lines += [part({"tool_calls": calls})] if calls else []
    return as_lines([*lines, {**part({}), **end}])
