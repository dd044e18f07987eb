"""Whose account of a call is believed: that of its requests, as they were heard, or that of the layer above them.

LangChain adds up the parts of a stream: a closing part that came twice doubles the usage, the model's name and the
logprobs in it. What was heard of the request itself is one answer and no sum, so that it is believed, unless the layer
above holds something that was not heard there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ec_agent.capture.answers import marks_of
from ec_agent.capture.shapes import Payload, get, listed

_WIDTH = len(marks_of([None]))
_FACTS = ("tokens", "prompt_tokens", "cached_tokens", "model", "response")


def account_of(heard: Payload, own: Payload, text: str, said: Callable[[], str]) -> Payload:
    """What to take for the answer to one request.

    Args:
        heard: what was heard of the request.
        own: what the layer above made of it.
        text: the text in that.
        said: tells the text that was heard.
    """
    if _extent(own) > _extent(heard) and not _all_heard(own, heard, text, said):
        return own
    lacking = {name: getattr(own, name) for name in _FACTS if getattr(heard, name) is None}
    return replace(heard, cache_hit=heard.cache_hit or own.cache_hit, **lacking)


def same_tokens(heard: Payload, own: Payload) -> bool:
    """Whether a message holds the tokens that a request brought, and no others, though perhaps some of them twice."""
    fewer = 0 < len(heard.entries) <= len(own.entries)
    return fewer and _tokens(heard) == _tokens(own)


def text_in(parts: Sequence[Any]) -> str:
    """The text in a whole answer, or in the chunks or events of a streamed one."""
    return "".join(text for part in parts for text in _texts(part))


def _texts(part: Any) -> list[str]:
    choices = listed(get(part, "choices"))
    told = [get(choice, *path) for choice in choices for path in (("delta", "content"), ("message", "content"))]
    told += [get(choice, "text") for choice in choices]
    told += [get(each, "text") for item in listed(get(part, "output")) for each in listed(get(item, "content"))]
    told += [get(part, "delta")] if get(part, "type") == "response.output_text.delta" else []
    return [text for text in told if isinstance(text, str)]


def _all_heard(own: Payload, heard: Payload, text: str, said: Callable[[], str]) -> bool:
    if own.entries:
        others = (each.payload for each in heard.alternatives)
        return _tokens(own) <= _tokens(heard).union(*map(_tokens, others))  # streamed, LangChain mixes them
    return text.strip() in said()


def _tokens(payload: Payload) -> set[bytes]:
    marks = marks_of(payload.entries)
    return {marks[start : start + _WIDTH] for start in range(0, len(marks), _WIDTH)}


def _extent(payload: Payload) -> tuple[int, int]:
    return len(payload.entries) + payload.mute, -1 if payload.tokens is None else payload.tokens
