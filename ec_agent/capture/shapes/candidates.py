"""Which candidates of one token are the same token, listed once more.

A token's number tells which one it is. Its text and bytes do only where they are whole: whatever token was a part of a
character may show as U+FFFD, as the bytes of U+FFFD, as a lone surrogate, as nothing at all or as some first bytes of
that character, and so may many others of the same row. What may be two tokens is never taken for one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from ec_agent.capture.shapes.reading import BROKEN, NUMBERED, get

NUMBERS = ("id", "token_id", "tokenId")
"""Where a candidate's number stands, beside or in place of its text."""


def repeats(candidates: Sequence[Any], logprobs: Iterable[float]) -> list[int]:
    """Places of candidates that were listed before: the same token with the same logprob.

    Args:
        candidates: of one token, each with ``token``, and ``bytes`` and a number where it has them.
        logprobs: theirs.
    """
    found, seen = [], set()
    listed = list(zip(candidates, logprobs, strict=False))
    shared = _shared(listed)
    for place, (candidate, logprob) in enumerate(listed):
        token = told_by(candidate, numbered=not shared)
        if token is None:
            continue
        if (token, logprob) in seen:
            found.append(place)
        seen.add((token, logprob))
    return found


def _shared(listed: Sequence[tuple[Any, float]]) -> bool:
    """Whether one number stands beside several tokens, as where a server gives all the same: it tells nothing then."""
    found: dict[Any, tuple[Any, float]] = {}
    for candidate, logprob in listed:
        text = get(candidate, "token")
        if (number := _beside(candidate)) is not None and found.setdefault(number, (text, logprob)) != (text, logprob):
            return True
    return False


def told_by(candidate: Any, *, numbered: bool = True) -> Hashable | None:
    """What a candidate is told by: equal only for what is surely the same token; ``None`` where nothing tells.

    Args:
        candidate: of a token.
        numbered: whether numbers beside the texts are the tokens' own.
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
    """The text in a candidate's bytes, which may have none, as special tokens do; ``None`` if they are not whole."""
    if not raw:
        return ""
    if isinstance(raw, bytes | list | tuple):
        try:
            raw = bytes(raw).decode()
        except (TypeError, ValueError):  # a part of a character, or no bytes
            return None
    return raw if isinstance(raw, str) and whole(raw) else None


def _in_place(text: Any) -> int | str | None:
    """A number in the place of the text."""
    if type(text) is int or (isinstance(text, str) and text.startswith(NUMBERED)):
        return text
    return None


def _beside(candidate: Any) -> int | str | None:
    """A number beside the text."""
    for name in NUMBERS:
        number = get(candidate, name)
        if type(number) is int and number >= 0:
            return number
        if isinstance(number, str) and number:
            return number
    return None


def whole(text: str) -> bool:
    """Whether it is text, and no part of a character in it."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return bool(text) and BROKEN not in text
