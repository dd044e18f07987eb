"""The bytes that events of a streamed chat answer share, and those in which they differ: the text and the logprobs.

Events of one answer are equal but for a few values. What comes before, between and behind these values is the same,
byte for byte. So an event that fits the pattern of an earlier one says the same, but for these values, and the rest of
it need not be decoded: a value of JSON may be put in the place of another one.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

VARIES = "obfuscation"
"""OpenAI adds random letters to each event, so that its length says nothing of its text."""

_TEXT, _LOGPROBS = "content", "logprobs"
_STRING = r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"'
_GROUPS = {_TEXT: f"(?P<content>{_STRING})", _LOGPROBS: r"(?P<logprobs>\{[^\n]*\})", VARIES: f"(?P<varies>{_STRING})"}
_KEYS = {name: re.compile(rf'"{name}"\s*:\s*') for name in _GROUPS}
_string = re.compile(_STRING)
_decoder = json.JSONDecoder()


class FoundInEvent(NamedTuple):
    """What differs between events with one pattern.

    Attributes:
        text: the text of the delta.
        logprobs: the JSON of the logprobs; ``None`` if such events have none. It may be no JSON.
        varies: the random letters, if there are any.
    """

    text: str
    logprobs: bytes | None
    varies: str | None


class StreamPattern:
    """Finds in an event what differs between events.

    Args:
        pieces: the texts before, between and behind the values that differ.
        names: the names of these values: ``content``, ``logprobs``, ``obfuscation``.
    """

    __slots__ = ("_fullmatch", "_logprobs", "_varies")

    def __init__(self, pieces: list[str], names: list[str]) -> None:
        groups = [*(_GROUPS[name] for name in names), ""]
        pattern = "".join(re.escape(piece) + group for piece, group in zip(pieces, groups, strict=True))
        self._fullmatch = re.compile(pattern.encode(), re.DOTALL).fullmatch
        self._logprobs, self._varies = _LOGPROBS in names, VARIES in names

    def found_in(self, data: bytes) -> FoundInEvent | None:
        """Return what differs, if the data of an event fit."""
        match = self._fullmatch(data)
        if match is None:
            return None
        try:
            text = _decoded(match["content"])
            varies = _decoded(match["varies"]) if self._varies else None
        except ValueError:
            return None
        return FoundInEvent(text, match["logprobs"] if self._logprobs else None, varies)


def _decoded(string: bytes) -> str:
    if b"\\" in string:
        return str(json.loads(string))
    return string[1:-1].decode()


def pattern_of(sent: bytes, event: Any) -> tuple[StreamPattern, dict[str, Any]] | None:
    """Make the pattern of an event.

    Args:
        sent: its data.
        event: the same, decoded.

    Returns:
        The pattern, and the event without logprobs. ``None`` for an event that has not one choice with a text.
    """
    try:
        (choice,) = event["choices"]
        values = {_TEXT: choice["delta"][_TEXT], _LOGPROBS: choice.get(_LOGPROBS), VARIES: event.get(VARIES)}
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if type(values[_TEXT]) is not str or type(values[VARIES]) not in (str, type(None)):
        return None
    spans = _spans(sent.decode(), [name for name, value in values.items() if value is not None])
    if spans is None:
        return None
    pieces, names = spans
    # Put other values in these places. If that changes nothing else, they are the right places.
    others = {name: f"<{name}>" for name in names}
    filled = "".join(piece + json.dumps(others[name]) for piece, name in zip(pieces, names, strict=False)) + pieces[-1]
    if json.loads(filled) != _with(event, choice, others):
        return None
    return StreamPattern(pieces, names), _with(event, choice, {_LOGPROBS: None} if _LOGPROBS in choice else {})


def _with(event: dict[str, Any], choice: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the event with other values in these places."""
    choice = {**choice, **{name: value for name, value in values.items() if name == _LOGPROBS}}
    choice["delta"] = {**choice["delta"], **{name: value for name, value in values.items() if name == _TEXT}}
    return {**event, "choices": [choice], **{name: value for name, value in values.items() if name == VARIES}}


def _spans(text: str, names: list[str]) -> tuple[list[str], list[str]] | None:
    """Find the values under these names, and return the texts around them, and the names in the order in the text."""
    found: list[tuple[int, int, str]] = []
    for name in sorted(names, key=_LOGPROBS.__ne__):  # these first: they have a list under "content" as well
        begins = [at.end() for at in _KEYS[name].finditer(text)]
        free = [start for start in begins if not any(a < start < b for a, b, _ in found)]
        start = next((start for start in free if _end(text, start, name)), None)
        if start is None:
            return None
        found.append((start, _end(text, start, name), name))
    found.sort()
    starts, ends = [start for start, _, _ in found], [end for _, end, _ in found]
    pieces = [text[a:b] for a, b in zip([0, *ends], [*starts, len(text)], strict=True)]
    return pieces, [name for _, _, name in found]


def _end(text: str, start: int, name: str) -> int:
    """Return the end of the value that begins here; 0 if it has not the kind of this name."""
    if name != _LOGPROBS:
        match = _string.match(text, start)
        return match.end() if match else 0
    return int(_decoder.raw_decode(text, start)[1]) if text.startswith("{", start) else 0
