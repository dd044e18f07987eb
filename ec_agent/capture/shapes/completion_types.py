"""Types for decoding a chat completion quickly; the texts of candidates are skipped. Needs msgspec.

``ec_agent/capture/transport/decoder.py`` has types of the same answers that include the texts of candidates. Decoding
takes three times as long with those, because each token has 20 candidates.
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
    """Logprobs in the form ``content`` of the table in ``entries``. Other forms are refused."""

    content: list[Token] | None = None
    refusal: list[Token] | None = None
    reasoning_content: list[Token] | None = None


class CompletionChoice(msgspec.Struct):
    """A choice, with the keys that are read."""

    logprobs: CompletionLogprobs
    message: Any = None
    text: Any = None
    finish_reason: Any = None


class Completion(msgspec.Struct, forbid_unknown_fields=True):
    """A chat completion with all usual keys. An unknown key is refused, because it may have a meaning."""

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
    """Return the completion, or ``None`` if ``json`` might read the bytes in another way."""
    try:
        if not body.isascii():
            body.decode()  # must be UTF-8, as for json: msgspec does not check the values that it skips
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
