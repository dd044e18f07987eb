"""Text of models and tools for people's eyes: nothing in it may hide, reorder or break what stands around it."""

from __future__ import annotations

import re
import unicodedata

_KEPT = "\n\t"
_UNSEEN = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def shown(text: object) -> str:
    """The text with what cannot be seen made visible: control characters, bidirectional marks, lone surrogates.

    Line breaks and tabs stay. Markup is not escaped: templates do that, and scripts set text, never markup.
    """
    return _UNSEEN.sub(_named, str(text))


def clipped(text: object, letters: int) -> str:
    """The text in one line of at most so many letters."""
    line = " ".join(shown(text).split())
    return line if len(line) <= letters else f"{line[: max(letters - 4, 0)]} ..."


def _named(match: re.Match[str]) -> str:
    letter = match[0]
    code = ord(letter)
    if letter in _KEPT or unicodedata.category(letter) == "Zs":
        return letter
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's own pictures of control characters
    return "\ufffd" if 0xD800 <= code < 0xE000 else f"\\u{code:04x}"
