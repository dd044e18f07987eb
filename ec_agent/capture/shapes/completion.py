"""A chat completion by typed decoding: of its candidates, only the numbers become objects. Needs msgspec.

``ec_agent/capture/transport/decoder.py`` has types of the same answers that read the candidates' texts as well. Reading
an answer for its entropies takes three times as long with those, because of one text for each of 20 candidates a token.
"""

from __future__ import annotations

from typing import Any

import msgspec


class TopLogprobNumber(msgspec.Struct, gc=False):
    """One of the likeliest candidates of a token."""

    logprob: float


class Token(msgspec.Struct, gc=False):
    """One generated token."""

    logprob: float
    top_logprobs: list[TopLogprobNumber]
    token: str | None = None


class CompletionLogprobs(msgspec.Struct, forbid_unknown_fields=True):
    """The shape ``content`` of the table in ``entries``, and no other."""

    content: list[Token] | None = None
    refusal: list[Token] | None = None
    reasoning_content: list[Token] | None = None


class CompletionChoice(msgspec.Struct):
    """What is read of a choice."""

    logprobs: CompletionLogprobs
    message: Any = None
    text: Any = None
    finish_reason: Any = None


class Completion(msgspec.Struct, forbid_unknown_fields=True):
    """All that a chat completion usually has: a key beside these may mean something."""

    choices: list[CompletionChoice]
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    usage: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    provider: Any = None
    timings: Any = None
    prompt_filter_results: Any = None
    prompt_logprobs: Any = None
    kv_transfer_params: Any = None


_decode = msgspec.json.Decoder(Completion).decode


def decoded(body: bytes) -> Completion | None:
    """The completion; ``None`` for anything that could read otherwise through ``json``."""
    try:
        if not body.isascii():
            body.decode()  # what is skipped is not looked into, and json refuses what is not UTF-8
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
