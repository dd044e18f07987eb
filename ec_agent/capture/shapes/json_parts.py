"""Parts of streamed chat completions of which no objects were made: one choice with a text, and usual logprobs.

They are many, and live until the call ends. So they are kept as tuples of a text and bytes, which the garbage collector
does not visit, and are decoded when the answer is read.
"""

from __future__ import annotations

from typing import Any

PackedPart = tuple[int, str, bytes | None]
"""The index of the kind of a part, its text, and the JSON of its logprobs."""


class JsonKind:
    """What parts share that differ in nothing but text and logprobs.

    Args:
        part: the values of the part, without its choice.
        choice: those of its choice, without delta and logprobs.
        delta: those of the delta, without the text.

    Attributes:
        bare: whether nothing but text and logprobs matters in such parts; ``None`` if nobody has found out.
    """

    __slots__ = ("bare", "choice", "delta", "part")

    def __init__(self, part: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any]) -> None:
        self.part, self.choice, self.delta = part, choice, delta
        self.bare: bool | None = None


class JsonPart:
    """A part of a stream.

    Args:
        kind: what it shares with other parts.
        text: the text of its delta.
        entries: the entries of its logprobs.

    Attributes:
        choices: its choice.
    """

    __slots__ = ("choices", "kind")

    def __init__(self, kind: JsonKind, text: str, entries: list[Any]) -> None:
        self.kind, self.choices = kind, (JsonChoice(kind, text, entries),)

    def __getattr__(self, name: str) -> Any:
        """Return any other value of the part; ``None`` if it has none."""
        return self.kind.part.get(name)


class JsonChoice:
    """The choice of such a part.

    Attributes:
        said: the text.
        entries: the entries of its logprobs.
    """

    __slots__ = ("_kind", "entries", "said")

    def __init__(self, kind: JsonKind, text: str, entries: list[Any]) -> None:
        self._kind, self.said, self.entries = kind, text, entries

    @property
    def delta(self) -> dict[str, Any]:
        """Its delta."""
        return {**self._kind.delta, "content": self.said}

    @property
    def logprobs(self) -> dict[str, Any] | None:
        """Its logprobs."""
        return {"content": self.entries} if self.entries else None

    def __getattr__(self, name: str) -> Any:
        """Return any other value of the choice; ``None`` if it has none."""
        return self._kind.choice.get(name)


def packed(raw: Any) -> Any:
    """Turn a list of bytes into one ``bytes`` object, which takes less memory."""
    try:
        return bytes(raw) if type(raw) is list else raw
    except (TypeError, ValueError):
        return raw
