"""Marks of tokens, by which an answer is recognised wherever its entries are found again.

Hashes of Python differ between processes, so marks can be compared only within one.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Any

WIDTH = 8
"""Bytes per token."""


def marks_of_entries(entries: Sequence[Any]) -> bytes:
    """Return the marks of entries: for each token a hash of its text and logprob."""
    return array("q", _usual_marks(entries) or [_mark(entry) for entry in entries]).tobytes()


def _usual_marks(entries: Sequence[Any]) -> list[int] | None:
    """Return the marks of entries of one type, as nearly all are, without a call for each."""
    kinds = set(map(type, entries))
    if len(kinds) != 1:
        return None
    read = itemgetter("token", "logprob") if kinds == {dict} else attrgetter("token", "logprob")
    try:
        return [hash(pair if pair[1] == pair[1] else (pair[0], None)) for pair in map(read, entries)]
    except (AttributeError, KeyError, TypeError, ValueError):  # something is missing, or cannot be hashed
        return None


def _mark(entry: Any) -> int:
    if type(entry) is dict:
        token, logprob = entry.get("token"), entry.get("logprob")
    else:
        token, logprob = getattr(entry, "token", None), getattr(entry, "logprob", None)
    try:
        return hash((token, logprob if logprob == logprob else None))  # NaN objects have different hashes
    except (TypeError, ValueError):  # a server may send something that is not hashable
        return hash((str(token), str(logprob)))
