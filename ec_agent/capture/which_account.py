"""Decides which account of an answer to use: that of the HTTP request, or that of LangChain.

LangChain adds up the parts of a stream. If the closing part came twice, it doubles the usage, the model's name and the
logprobs in that part. The request itself was recorded part by part, so its account is used, unless LangChain has
something that the request did not bring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ec_agent.capture.known_answers import marks_of
from ec_agent.capture.shapes import Payload, get, listed
from ec_agent.capture.shapes.payload import FACTS, first_known

_WIDTH = len(marks_of([None]))


def account_of(requested: Payload, message: Payload, text: str, said: Callable[[], str]) -> Payload:
    """Return the payload to use for the answer to one request.

    Args:
        requested: the answer, as the request brought it.
        message: the answer, as LangChain has it.
        text: the text of the answer that LangChain has.
        said: function that returns the text that the request brought.
    """
    if _extent(message) > _extent(requested) and not _all_requested(message, requested, text, said):
        return message
    told = {each.name: each.better(requested, message) for each in FACTS if each.told}
    return replace(requested, tokens=first_known([requested.tokens, message.tokens]), **told)


def same_tokens(requested: Payload, message: Payload) -> bool:
    """Tell whether a message has the tokens that a request brought and no others; some may be in it twice."""
    fewer = 0 < len(requested.entries) <= len(message.entries)
    return fewer and _tokens(requested) == _tokens(message)


def text_in(parts: Sequence[Any]) -> str:
    """Return the text in a whole answer, or in the chunks or events of a streamed one."""
    return "".join(text for part in parts for text in _texts(part))


def _texts(part: Any) -> list[str]:
    choices = listed(get(part, "choices"))
    told = [get(choice, *path) for choice in choices for path in (("delta", "content"), ("message", "content"))]
    told += [get(choice, "text") for choice in choices]
    told += [get(each, "text") for item in listed(get(part, "output")) for each in listed(get(item, "content"))]
    told += [get(part, "delta")] if get(part, "type") == "response.output_text.delta" else []
    return [text for text in told if isinstance(text, str)]


def _all_requested(message: Payload, requested: Payload, text: str, said: Callable[[], str]) -> bool:
    if message.entries:
        others = (each.payload for each in requested.alternatives)
        # LangChain mixes the alternatives of a streamed answer, so the tokens of all of them are compared.
        return _tokens(message) <= _tokens(requested).union(*map(_tokens, others))
    return text.strip() in said()


def _tokens(payload: Payload) -> set[bytes]:
    marks = marks_of(payload.entries)
    return {marks[start : start + _WIDTH] for start in range(0, len(marks), _WIDTH)}


def _extent(payload: Payload) -> tuple[int, int]:
    return len(payload.entries) + payload.mute, -1 if payload.tokens is None else payload.tokens
