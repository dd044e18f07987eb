"""Reading what may be an object, its JSON form, or neither; nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_TOKENS = 10_000_000
BROKEN = "\ufffd"
"""What stands for bytes that are no whole character."""
NUMBERED = "token_id:"
"""How a token is named by its number, in the place of its text (vLLM)."""


def get(thing: Any, *path: str | int) -> Any:
    """Follow keys, attributes and indices; ``None`` as soon as one is missing."""
    for step in path:
        if thing is None:
            return None
        if isinstance(thing, Mapping):
            thing = thing.get(step)
        elif isinstance(step, int):
            thing = thing[step] if isinstance(thing, Sequence) and step < len(thing) else None
        else:
            thing = getattr(thing, step, None)
    return thing


def first(thing: Any, *names: str) -> Any:
    """The first of these keys or attributes that is there and not ``None``."""
    return next((value for name in names if (value := get(thing, name)) is not None), None)


def listed(thing: Any) -> list[Any]:
    """A sequence as a list; empty for anything else, text included."""
    return list(thing) if isinstance(thing, Sequence) and not isinstance(thing, str | bytes) else []


def count(thing: Any) -> int | None:
    """A believable number of tokens; ``None`` for anything else."""
    whole = isinstance(thing, int) and not isinstance(thing, bool)
    return thing if whole and 0 <= thing <= MOST_TOKENS else None


def text_of(token: Any) -> str:
    """The text of a token or candidate; of one that is named by a number, the text in its bytes."""
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
    """What a token or candidate is told by: its name and its logprob, as text, for a NaN is not equal to itself."""
    return str(get(token, "token")), str(get(token, "logprob"))


def _named(name: Any) -> str:
    return "" if name is None else str(name)
