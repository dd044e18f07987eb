"""Servers one runs oneself: vLLM, SGLang, llama.cpp and text-generation-inference, over Chat Completions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import wire_openai
from said import Token, Turn
from wire import Asked, Reply, as_json
from wire_openai import ALL, Body, Dialect, content_of

LOWEST = -3.4028234663852886e38  # llama.cpp's logarithm of 0


def sampled_among(token: Token) -> Token:
    """vLLM lists the sampled token first, also where it is beyond the top k."""
    others = tuple(c for c in token.candidates if c[0] != token.text)
    return replace(token, candidates=((token.text, token.logprob), *others))


def _vllm_entry(token: Token) -> dict[str, Any]:
    """Candidates of probability 0 come as -9999.0."""
    entry = wire_openai.entry(sampled_among(token))
    entry["top_logprobs"].append({"token": "<pad>", "logprob": -9999.0, "bytes": []})
    return entry


def _token_ids(token: Token) -> dict[str, Any]:
    """The same with ``return_tokens_as_token_ids``."""
    entry = _vllm_entry(token)
    for place, each in enumerate([entry, *entry["top_logprobs"]]):
        each["token"] = f"token_id:{token.id() + place}"
    return entry


def _prompt_logprobs(payload: dict[str, Any], tokens: Sequence[Token], body: Body) -> None:
    """What ``prompt_logprobs`` adds: candidates of the prompt's tokens, which nobody generated."""
    if body.get("prompt_logprobs") is not None and "usage" in payload:
        first = {"100": {"logprob": -0.5, "rank": 1, "decoded_token": "What"}}
        second = {**first, "101": {"logprob": -1.5, "rank": 2, "decoded_token": "is"}}
        payload["prompt_logprobs"] = [None, first, second]


VLLM = Dialect(listed=ALL, shape=content_of(_vllm_entry), thought="reasoning", dress=_prompt_logprobs)
VLLM_TOKEN_IDS = replace(VLLM, shape=content_of(_token_ids))
SGLANG = Dialect(listed=ALL)
OLLAMA = Dialect(listed=frozenset({"content", "thinking"}), thought="reasoning")
OLD_OLLAMA = Dialect(listed=frozenset(), thought="reasoning")


def _mistral_rs(tokens: Sequence[Token], thinking: Sequence[Token], streamed: bool) -> Any:
    """Candidates are named by numbers, their text is in ``bytes``; of a chunk, the one token comes without a list."""
    rows = [wire_openai.entry(token) for token in (*thinking, *tokens)]
    for row in rows:
        row["top_logprobs"] = [
            {"token": 100 + place, "logprob": each["logprob"], "bytes": each["token"]}
            for place, each in enumerate(row["top_logprobs"])
        ]
    return rows[0] if streamed else {"content": rows}


MISTRAL_RS = Dialect(shape=_mistral_rs, thought=None)


def _llama_entry(token: Token) -> dict[str, Any]:
    entry = {"id": token.id(), **wire_openai.entry(token)}
    entry["top_logprobs"] = [{"id": 1, **each} for each in entry["top_logprobs"]]
    entry["top_logprobs"].append({"id": 2, "token": "<pad>", "bytes": [], "logprob": LOWEST})
    return entry


LLAMA = Dialect(listed=ALL, shape=content_of(_llama_entry))


def llama(turn: Turn, asked: Asked) -> Reply:
    """llama.cpp refuses logprobs together with tools and streaming."""
    if asked.body.get("logprobs") and asked.body.get("tools") and asked.streamed:
        error = {"code": 400, "message": "logprobs is not supported with tools + stream"}
        return as_json({"error": {**error, "type": "invalid_request_error"}}, 400)
    return wire_openai.chat(turn, asked, LLAMA)


def llama_native(turn: Turn, asked: Asked) -> Reply:
    """``POST /completion``, llama.cpp's own; ``post_sampling_probs`` turns logarithms into probabilities."""
    rows = [_llama_entry(token) for token in turn.tokens]
    whole: dict[str, Any] = {"index": 0, "content": turn.text, "stop": True, "model": "any", "stop_type": "eos"}
    whole |= {"tokens_predicted": len(turn.tokens), "tokens_evaluated": 7, "truncated": False}
    if asked.body.get("post_sampling_probs"):
        rows = [_as_probabilities(row) for row in rows]
    if asked.body.get("n_probs"):
        whole["completion_probabilities"] = rows
    return as_json(whole)


def _as_probabilities(row: dict[str, Any]) -> dict[str, Any]:
    top = [_as_probabilities(each) for each in row.get("top_logprobs", ())]
    kept = {name: value for name, value in row.items() if name not in ("logprob", "top_logprobs")}
    kept["prob"] = math.exp(row["logprob"])
    return {**kept, "top_probs": top} if top else kept


def _tgi_entry(token: Token) -> dict[str, Any]:
    top = [{"token": text, "logprob": logprob} for text, logprob in token.candidates]
    return {"token": token.text, "logprob": token.logprob, "top_logprobs": top}


TGI = Dialect(shape=content_of(_tgi_entry), thought=None)
