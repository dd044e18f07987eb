"""Reads LangChain's messages.

LangChain adds up the parts of a stream and joins their texts. If the closing part came twice, the message has the
reason to end ``stopstop``, and twice the usage. This is corrected here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ec_agent.capture.shapes.entries import HELD_UNDER, entries_of
from ec_agent.capture.shapes.payload import ADDED_UP, Payload, told_by_message
from ec_agent.capture.shapes.pieces import said_by_message
from ec_agent.capture.shapes.repeated_parts import alike
from ec_agent.capture.shapes.usage import fits
from ec_agent.capture.shapes.values import count, first, get
from ec_agent.capture.shapes.whole_answers import HOLDS, believed

REASONS = ("finish_reason", "stop_reason", "done_reason")
_FEW = 4  # with fewer tokens, a count may be a multiple of them by chance
_AGAIN = re.compile(r"(\w{3,}?)\1+")


def payload_of_message(message: Any, generation_info: Any = None) -> Payload:
    """Read a LangChain AI message.

    Args:
        message: the message, as an object or as the dict that a ``RemoteGraph`` returns.
        generation_info: what LangChain keeps beside it.
    """
    metadata = get(message, "response_metadata")
    usage = get(message, "usage_metadata")
    raw_usage = first(metadata, "token_usage", "usage")
    tokens = count(get(usage, "output_tokens"))
    if tokens is None:
        tokens = count(get(raw_usage, "completion_tokens"))
    prompt = count(get(usage, "input_tokens"))
    held = ((place, name) for place in (metadata, generation_info) for name in HELD_UNDER)
    found = (found for place, name in held if (found := get(place, name)) is not None)
    entries = next((entries for each in found if (entries := _entries(each))), [])
    payload = Payload(
        entries=entries,
        tokens=believed(tokens, entries, any(get(message, name) for name in HOLDS)),
        prompt_tokens=count(get(raw_usage, "prompt_tokens")) if prompt is None else prompt,
        cached_tokens=count(get(usage, "input_token_details", "cache_read")),
        # LangChain sets the cost of an answer from its cache to 0, and of no other answer.
        cache_hit=get(usage, "total_cost") == 0,
        said=partial(said_by_message, message, len(entries)),
        **told_by_message(metadata),
    )
    return _counted_once(payload, metadata)


def _entries(logprobs: Any) -> Sequence[Any]:
    """Return the entries; what we have read of logprobs that are made later (``ec_agent.capture.made_later``)."""
    read: Sequence[Any] | None = getattr(logprobs, "entries_read", None) if isinstance(logprobs, dict) else None
    return entries_of(logprobs) if read is None else read


def _counted_once(payload: Payload, metadata: Any) -> Payload:
    """Correct a message whose reason to end shows that its closing part was added several times.

    Its usage is divided by the factor that fits the number of entries. If none fits, the usage is not changed.
    """
    times = _times(first(metadata, *REASONS))
    if times < 2:
        return payload
    texts = {each.name: getattr(payload, each.name) for each in ADDED_UP}
    again = {name: text[: len(text) // times] for name, text in texts.items() if times == _times(text, times)}
    payload = replace(payload, **again)
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
    """Return by which factor a message's usage may be too large, because LangChain added it up; 0 if it is not.

    The usage is suspect if it is a whole multiple of the number of entries. The message alone cannot prove it, because
    the other tokens may also have come without logprobs. If thinking or tool calls explain them, the result is 0.

    Args:
        payload: the message, as it was read.
        message: the message, as an object or JSON.
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
    """Return a reason to end without the repetitions that LangChain may have made: ``stop`` for ``stopstop``."""
    return reason[: len(reason) // _times(reason)]


def _times(text: Any, times: int = 0) -> int:
    """Return how many times a text repeats a shorter one. With ``times``, only that number of repetitions counts."""
    if not isinstance(text, str):
        return 1
    if times:
        return times if text and text == text[: len(text) // times] * times else 1
    found = _AGAIN.fullmatch(text)
    return 1 if found is None else len(text) // len(found[1])


def _shared(number: int | None, times: int) -> int | None:
    return None if number is None or number % times else number // times
