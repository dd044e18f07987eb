"""Google Gemini: ``models/*:generateContent`` and ``:streamGenerateContent``.

Written to the ``LogprobsResult`` of the Gemini API's v1beta reference, as typed in google-genai 2.34.
"""

from __future__ import annotations

from typing import Any

from said import Token, Turn
from wire import Asked, Reply, as_events, as_json


def _candidate(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "tokenId": 1000 + len(text), "logProbability": logprob}


def logprobs_result(tokens: tuple[Token, ...]) -> dict[str, Any]:
    return {
        "topCandidates": [{"candidates": [_candidate(t, lp) for t, lp in token.candidates]} for token in tokens],
        "chosenCandidates": [_candidate(token.text, token.logprob) for token in tokens],
    }


def generate(turn: Turn, asked: Asked) -> Reply:
    config = asked.body.get("generationConfig") or {}
    wanted = bool(config.get("responseLogprobs")) and bool(config.get("logprobs"))

    def piece(parts: list[dict[str, Any]], tokens: tuple[Token, ...], finish: str | None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        if finish:
            candidate["finishReason"] = finish
        if wanted and tokens:
            candidate["logprobsResult"] = logprobs_result(tokens)
            candidate["avgLogprobs"] = sum(t.logprob for t in tokens) / len(tokens)
        usage = {"promptTokenCount": 7, "candidatesTokenCount": len(turn.content + turn.call)}
        usage |= {"thoughtsTokenCount": len(turn.thinking)} if turn.thinking else {}
        usage["totalTokenCount"] = 7 + len(turn.tokens)
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}

    thoughts = [{"text": turn.thought, "thought": True}] if turn.thinking else []
    calls = [{"functionCall": {"name": turn.name, "args": turn.arguments}}] if turn.call else []
    if "streamGenerateContent" not in asked.path:
        text = [{"text": turn.text}] if turn.content else []
        return as_json(piece([*thoughts, *text, *calls], turn.content, "STOP"))
    pieces = [piece(thoughts, (), None)] if thoughts else []
    pieces += [piece([{"text": t.text}], (t,), None) for t in turn.content]
    return as_events([*pieces, piece(calls, (), "STOP")], done=False)
