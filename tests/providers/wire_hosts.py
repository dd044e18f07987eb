"""Hosted models over Chat Completions: DeepSeek, xAI, OpenRouter, Groq, Mistral, Perplexity, Fireworks, Together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import wire_openai
from said import Token
from wire_openai import Body, Dialect, content_of


def _numbered(token: Token) -> dict[str, Any]:
    entry = wire_openai.entry(token)
    return {**entry, "token_id": token.id(), "top_logprobs": [{**e, "token_id": 1} for e in entry["top_logprobs"]]}


def _fireworks_entry(token: Token) -> dict[str, Any]:
    return {**_numbered(token), "sampling_logprob": token.logprob, "text_offset": 0}


def _never(body: Body) -> bool:
    return False


def _wants_number(body: Body) -> bool:
    number = body.get("logprobs")
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _lists(tokens: Sequence[Token], thinking: Sequence[Token], streamed: bool) -> dict[str, Any]:
    """The parallel lists of old completions."""
    return {
        "tokens": [t.text for t in tokens],
        "token_logprobs": [t.logprob for t in tokens],
        "token_ids": [t.id() for t in tokens],
        "text_offset": list(range(len(tokens))),
        "top_logprobs": [dict(t.candidates) for t in tokens],
    }


def _together(tokens: Sequence[Token], thinking: Sequence[Token], streamed: bool) -> Any:
    """Lists without candidates; in a chunk, the bare logprob of its one token."""
    if streamed:
        return tokens[0].logprob
    lists = _lists(tokens, thinking, streamed)
    return {name: lists[name] for name in ("tokens", "token_logprobs", "token_ids")}


def _together_top(payload: dict[str, Any], tokens: Sequence[Token], body: Body) -> None:
    """Candidates stand beside the chunk's logprob; of a whole answer they are one map, of no use per token."""
    choice = payload["choices"][0]
    if "delta" in choice:
        choice["top_logprobs"] = dict(tokens[0].candidates)
        choice["delta"]["token_id"] = tokens[0].id()
    elif choice["logprobs"]:
        choice["logprobs"]["top_logprobs"] = dict(tokens[-1].candidates)


def _openrouter(payload: dict[str, Any], tokens: Sequence[Token], body: Body) -> None:
    payload["system_fingerprint"] = None  # required by its schema, if only as null


DEEPSEEK = Dialect(listed=frozenset({"content", "thinking"}), shape=content_of(thinking_key="reasoning_content"))
XAI = Dialect(counts_thinking=False)
OPENROUTER = Dialect(thought="reasoning", dress=_openrouter)
MISTRAL = Dialect(shape=content_of(_numbered), thought=None, usage="last")
GROQ = Dialect(wanted=_never, thought="reasoning", usage="x_groq")
PERPLEXITY = Dialect(wanted=_never, thought=None, usage="last")
FIREWORKS = Dialect(shape=content_of(_fireworks_entry))
FIREWORKS_LISTS = Dialect(wanted=_wants_number, shape=_lists)
TOGETHER = Dialect(wanted=_wants_number, shape=_together, dress=_together_top, thought="reasoning")
