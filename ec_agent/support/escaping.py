"""Text of models and tools for people's eyes: nothing in it may hide, reorder or break what stands around it."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Line breaks and tabs are text; so are joiners, which some scripts and emoji need.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks
    "\xad\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # of no width, or line breaks of a kind
    "\ud800-\udfff]"  # lone surrogates
)


def shown(text: object) -> str:
    """The text with what cannot be seen made visible: control characters, bidirectional marks, lone surrogates.

    Line breaks and tabs stay. Markup is not escaped: templates do that, and scripts set text, never markup.
    """
    return _UNSEEN.sub(_named, str(text))


def all_shown(texts: Sequence[str]) -> list[str]:
    """Each of many short texts as ``shown`` has it."""
    clean = _UNSEEN.search("".join(texts)) is None  # nearly always, and a tenth of the time
    return list(texts) if clean else [shown(text) for text in texts]


def clipped(text: object, letters: int) -> str:
    """The text in one line of at most so many letters."""
    line = " ".join(shown(text).split())
    return line if len(line) <= letters else f"{line[: max(letters - 4, 0)]} ..."


def _named(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's own pictures of control characters
    return "\ufffd" if 0xD800 <= code < 0xE000 else f"\\u{code:04x}"
