"""Made-up logprobs with the shape of a language model's: most tokens certain, few not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ec_agent.numbers.entropy import FloatArray

CANDIDATES = 20


def drawn_logprobs(tokens: int, seed: int = 7) -> FloatArray:
    """Shape ``(tokens, 20)``, in descending order and rounded as endpoints send them."""
    rng = np.random.default_rng(seed)
    spread = np.where(rng.random(tokens) < 0.7, 12.0, 2.0)[:, np.newaxis]
    scores = rng.standard_exponential((tokens, CANDIDATES)).cumsum(axis=1) * spread / 6
    logprobs = -scores - np.log(np.exp(-scores).sum(axis=1, keepdims=True)) - 0.001
    return np.ascontiguousarray(np.round(logprobs, 8))


def drawn_entropies(tokens: int, seed: int = 7) -> FloatArray:
    """Shape ``(tokens,)``, nats."""
    rng = np.random.default_rng(seed)
    return rng.standard_exponential(tokens) ** 2 * 0.3


def entries_of(logprobs: FloatArray, *, with_bytes: bool = False) -> list[dict[str, Any]]:
    """``logprobs.content`` of a chat completion."""
    return [
        {
            **_candidate(0, row[0], with_bytes),
            "top_logprobs": [_candidate(i, lp, with_bytes) for i, lp in enumerate(row)],
        }
        for row in logprobs.tolist()
    ]


def completion_of(logprobs: FloatArray, *, with_bytes: bool = False) -> bytes:
    """The body of a chat completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": " word" * len(logprobs)},
        "logprobs": {"content": entries_of(logprobs, with_bytes=with_bytes), "refusal": None},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 9, "completion_tokens": len(logprobs), "total_tokens": len(logprobs) + 9}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(body).encode()


def _candidate(number: int, logprob: float, with_bytes: bool) -> dict[str, Any]:
    token = f" word{number}"
    return {"token": token, "logprob": logprob, **({"bytes": list(token.encode())} if with_bytes else {})}
