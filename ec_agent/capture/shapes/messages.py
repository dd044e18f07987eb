"""LangChain's messages, read.

Of a stream, LangChain adds up the parts and joins their texts: a closing part that came twice leaves a message that
ended for the reason ``stopstop``, with twice the usage.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

from ec_agent.capture.shapes.doubled import alike
from ec_agent.capture.shapes.entries import entries_of
from ec_agent.capture.shapes.payloads import HOLDS, Payload, believed, named_in
from ec_agent.capture.shapes.pieces import said_by_message
from ec_agent.capture.shapes.reading import count, first, get
from ec_agent.capture.shapes.usage import fits

REASONS = ("finish_reason", "stop_reason", "done_reason")
_LOGPROBS = ("logprobs", "logprobs_result")
_FEW = 4  # tokens: of fewer, a whole number may well be chance
_AGAIN = re.compile(r"(\w{3,}?)\1+")


def payload_of_message(message: Any, generation_info: Any = None) -> Payload:
    """A LangChain AI message, as an object or as the dict a ``RemoteGraph`` returns."""
    metadata = get(message, "response_metadata")
    usage = get(message, "usage_metadata")
    raw_usage = first(metadata, "token_usage", "usage")
    tokens = count(get(usage, "output_tokens"))
    if tokens is None:
        tokens = count(get(raw_usage, "completion_tokens"))
    prompt = count(get(usage, "input_tokens"))
    held = ((place, name) for place in (metadata, generation_info) for name in _LOGPROBS)
    entries = next((entries for place, name in held if (entries := entries_of(get(place, name)))), [])
    payload = Payload(
        entries=entries,
        tokens=believed(tokens, entries, any(get(message, name) for name in HOLDS)),
        prompt_tokens=count(get(raw_usage, "prompt_tokens")) if prompt is None else prompt,
        cached_tokens=count(get(usage, "input_token_details", "cache_read")),
        model=first(metadata, "model_name", "model"),
        # LangChain zeroes the cost of a cached answer, and only of that.
        cache_hit=get(usage, "total_cost") == 0,
        response=named_in(metadata),
        said=partial(said_by_message, message, len(entries)),
    )
    return _counted_once(payload, metadata)


def _counted_once(payload: Payload, metadata: Any) -> Payload:
    """The message, where its reason to end shows that LangChain added up a closing part that came several times.

    Its usage is divided where the tokens with logprobs tell by what; else it stays as it is.
    """
    times = _times(first(metadata, *REASONS))
    if times < 2:
        return payload
    named = payload.model if isinstance(payload.model, str) else ""
    if times == _times(named, times):
        payload = replace(payload, model=named[: len(named) // times])
    last = payload.entries[-1:]
    several = len(payload.entries) > times and all(alike([e], last) for e in payload.entries[-times:])
    for kept in (payload.entries, payload.entries[: 1 - times] if several else ()):
        share = next((n for n in range(2, times + 2) if fits(_shared(payload.tokens, n), len(kept))), 0)
        if share:
            asked, cached = (_shared(number, share) for number in (payload.prompt_tokens, payload.cached_tokens))
            tokens = _shared(payload.tokens, share)
            return replace(payload, entries=kept, tokens=tokens, prompt_tokens=asked, cached_tokens=cached)
    return payload


def may_be_summed(payload: Payload, message: Any) -> int:
    """How many times the tokens that came with logprobs the usage counts, where that is a whole number; else 0.

    It may be the sum of a usage that came so many times, which nothing in a message alone proves: as many tokens may
    have come without logprobs. Where thinking or tool calls explain those, it is 0.

    Args:
        payload: what the message holds.
        message: an object or its JSON form.
    """
    known, asked = len(payload.entries), payload.prompt_tokens
    thought = get(message, "usage_metadata", "output_token_details", "reasoning")
    if known < _FEW or not asked or thought or get(message, "tool_calls"):
        return 0
    for tokens in (known, known + 1):
        times = (payload.tokens or 0) // tokens
        if times > 1 and payload.tokens == times * tokens and asked % times == 0:
            return times
    return 0


def said_once(reason: str) -> str:
    """A reason to end that LangChain may have joined with itself: ``stop`` for ``stopstop``."""
    return reason[: len(reason) // _times(reason)]


def _times(text: Any, times: int = 0) -> int:
    """How many times a text repeats itself; 1 for one that does not."""
    if not isinstance(text, str):
        return 1
    if times:
        return times if text and text == text[: len(text) // times] * times else 1
    found = _AGAIN.fullmatch(text)
    return 1 if found is None else len(text) // len(found[1])


def _shared(number: int | None, times: int) -> int | None:
    return None if number is None or number % times else number // times
