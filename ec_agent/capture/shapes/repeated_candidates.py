"""Finds candidates of a token that are listed twice.

A candidate is identified by its number, or else by its text and bytes. The text of a token that is only a part of a
character identifies nothing: many such tokens are shown in the same way, as U+FFFD, as its bytes, as a lone surrogate,
as an empty text, or as some bytes of the character. Two candidates that may be different tokens always count as two.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from ec_agent.capture.shapes.values import BROKEN, NUMBERED, get

NUMBERS = ("id", "token_id", "tokenId")
"""Keys for the number of a token."""


def repeats(candidates: Sequence[Any], logprobs: Iterable[float]) -> list[int]:
    """Return the indices of candidates that repeat an earlier one: the same token with the same logprob.

    Args:
        candidates: the candidates of one token. Each has ``token``, and maybe ``bytes`` and a number.
        logprobs: their logprobs.
    """
    found, seen = [], set()
    listed = list(zip(candidates, logprobs, strict=False))
    shared = _shared(listed)
    for place, (candidate, logprob) in enumerate(listed):
        token = identity_of(candidate, numbered=not shared)
        if token is None:
            continue
        if (token, logprob) in seen:
            found.append(place)
        seen.add((token, logprob))
    return found


def _shared(listed: Sequence[tuple[Any, float]]) -> bool:
    """Tell whether several tokens have the same number. Some servers write one for all, which identifies nothing."""
    found: dict[Any, tuple[Any, float]] = {}
    for candidate, logprob in listed:
        text = get(candidate, "token")
        if (number := _beside(candidate)) is not None and found.setdefault(number, (text, logprob)) != (text, logprob):
            return True
    return False


def identity_of(candidate: Any, *, numbered: bool = True) -> Hashable | None:
    """Return what identifies a candidate: equal only for the same token. ``None`` if nothing identifies it.

    Args:
        candidate: the candidate.
        numbered: whether the numbers beside the texts can be trusted.
    """
    text = get(candidate, "token")
    number = _in_place(text)
    if number is None and numbered:
        number = _beside(candidate)
    if number is not None:
        return number, str(text)
    if not isinstance(text, str) or not whole(text):
        return None
    letters = _letters(get(candidate, "bytes"))
    return None if letters is None else (text, letters)


def _letters(raw: Any) -> str | None:
    """Return the text in a candidate's bytes: empty without bytes (special tokens), ``None`` if they are incomplete."""
    if not raw:
        return ""
    if isinstance(raw, bytes | list | tuple):
        try:
            raw = bytes(raw).decode()
        except (TypeError, ValueError):  # a part of a character, or not bytes
            return None
    return raw if isinstance(raw, str) and whole(raw) else None


def _in_place(text: Any) -> int | str | None:
    """Return a token's number if it is written in place of the text, else ``None``."""
    if type(text) is int or (isinstance(text, str) and text.startswith(NUMBERED)):
        return text
    return None


def _beside(candidate: Any) -> int | str | None:
    """Return a token's number if it is written beside the text, else ``None``."""
    for name in NUMBERS:
        number = get(candidate, name)
        if type(number) is int and number >= 0:
            return number
        if isinstance(number, str) and number:
            return number
    return None


def whole(text: str) -> bool:
    """Tell whether a text is not empty and consists of whole characters."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return bool(text) and BROKEN not in text
