"""Makes texts of models and tools safe to show: invisible characters could hide or reorder other text."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Line breaks and tabs are not in the list, nor are joiners, which some scripts and emoji need.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks
    "\xad\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # of no width, or rare line breaks
    "\ud800-\udfff]"  # lone surrogates
)


def shown(text: object) -> str:
    """Return the text with invisible characters replaced by visible ones.

    These are control characters, bidirectional marks, characters of no width, and lone surrogates. Line breaks and tabs
    stay. HTML is not escaped here: the templates escape it.
    """
    return _UNSEEN.sub(_named, str(text))


def all_shown(texts: Sequence[str]) -> list[str]:
    """Apply ``shown`` to each of many short texts."""
    # Nearly always no text has such a character, and one search in all of them takes a tenth of the time.
    clean = _UNSEEN.search("".join(texts)) is None
    return list(texts) if clean else [shown(text) for text in texts]


def clipped(text: object, letters: int) -> str:
    """Return the text as one line, cut after ``letters`` characters; invisible characters are made visible."""
    line = " ".join(shown(text).split())
    return line if len(line) <= letters else f"{line[: max(letters - 4, 0)]} ..."


def _named(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode has a visible symbol for each control character
    return "\ufffd" if 0xD800 <= code < 0xE000 else f"\\u{code:04x}"
