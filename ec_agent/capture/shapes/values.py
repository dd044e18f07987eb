"""Reads values of objects and of JSON in the same way. No function here raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_TOKENS = 10_000_000
BROKEN = "\ufffd"
"""The character that decoders write in place of bytes that are not a whole character."""
NUMBERED = "token_id:"
"""Prefix of a token's number, which vLLM can write in place of its text."""


def get(thing: Any, *path: str | int) -> Any:
    """Follow a path of keys, attributes and indices. ``None`` if one is missing."""
    for step in path:
        if thing is None:
            return None
        if type(thing) is dict or isinstance(thing, Mapping):  # the first is quicker, and usual
            thing = thing.get(step)
        elif isinstance(step, int):
            thing = thing[step] if isinstance(thing, Sequence) and step < len(thing) else None
        else:
            thing = getattr(thing, step, None)
    return thing


def first(thing: Any, *names: str) -> Any:
    """Return the value of the first of these keys or attributes that is not ``None``."""
    if thing is not None:
        for name in names:
            if (value := get(thing, name)) is not None:
                return value
    return None


def listed(thing: Any) -> list[Any]:
    """Return a sequence as a list. Empty for anything else, and for a text."""
    if type(thing) is list:  # quicker, and usual
        return thing.copy()
    if thing is None:
        return []
    return list(thing) if isinstance(thing, Sequence) and not isinstance(thing, str | bytes) else []


def count(thing: Any) -> int | None:
    """Return a value if it can be a number of tokens (0 to 10 million), else ``None``."""
    whole = isinstance(thing, int) and not isinstance(thing, bool)
    return thing if whole and 0 <= thing <= MOST_TOKENS else None


def text_of(token: Any) -> str:
    """Return the text of a token or candidate. If it has a number in place of a text, the text is in its bytes."""
    name, raw = get(token, "token"), get(token, "bytes")
    if isinstance(name, str) and not name.startswith(NUMBERED):
        return name
    if isinstance(raw, str):
        return raw
    try:
        return bytes(raw).decode(errors="replace") if isinstance(raw, bytes | list) and raw else _named(name)
    except (TypeError, ValueError):
        return _named(name)


def mark(token: Any) -> tuple[str, str]:
    """Return the name and the logprob of a token, for comparing. As texts, because NaN is not equal to NaN."""
    return str(get(token, "token")), str(get(token, "logprob"))


def _named(name: Any) -> str:
    return "" if name is None else str(name)
