"""Parts of streamed chat completions that were read as JSON: one choice with a text, and logprobs of the usual form.

They are many, and live until the call ends. So they are kept as tuples of texts and numbers, which the garbage
collector visits once or twice, and are made into dicts when the answer is read.
"""

from __future__ import annotations

from typing import Any

JsonToken = tuple[tuple[str, ...], tuple[float, ...], tuple[Any, ...], tuple[dict[str, Any], ...] | None]
"""Texts, logprobs and bytes of a token and of its candidates; and what else is in their dicts, if there is more."""
PackedPart = tuple[int, str, tuple[JsonToken, ...]]
"""The index of the kind of a part, its text, and its tokens."""

_KNOWN = frozenset({"token", "logprob", "bytes", "top_logprobs"})


def pack(kind: int, text: str, logprobs: dict[str, Any] | None) -> PackedPart:
    """Make what is kept of a part."""
    content = logprobs and logprobs.get("content")
    return kind, text, tuple([_token(entry) for entry in content]) if content else ()


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
        tokens: its tokens.

    Attributes:
        choices: its choice.
    """

    __slots__ = ("choices", "kind")

    def __init__(self, kind: JsonKind, text: str, tokens: tuple[JsonToken, ...]) -> None:
        self.kind, self.choices = kind, (JsonChoice(kind, text, tokens),)

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

    def __init__(self, kind: JsonKind, text: str, tokens: tuple[JsonToken, ...]) -> None:
        self._kind, self.said = kind, text
        self.entries = [_entry(token) for token in tokens]

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


def _token(entry: dict[str, Any]) -> JsonToken:
    things = [entry, *entry["top_logprobs"]]
    extra = any(not thing.keys() <= _KNOWN for thing in things)
    return (
        tuple([thing["token"] for thing in things]),
        tuple([thing["logprob"] for thing in things]),
        tuple([packed(thing.get("bytes")) for thing in things]),
        tuple([_beside(thing) for thing in things]) if extra else None,
    )


def _beside(thing: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in thing.items() if name not in _KNOWN}


def _entry(token: JsonToken) -> dict[str, Any]:
    names, logprobs, raws, extra = token
    things: list[dict[str, Any]] = [
        {"token": name, "logprob": logprob, "bytes": raw}
        for name, logprob, raw in zip(names, logprobs, raws, strict=True)
    ]
    for thing, more in zip(things, extra or (), strict=False):
        thing.update(more)
    own, *tops = things
    own["top_logprobs"] = tops
    return own


def packed(raw: Any) -> Any:
    """Turn a list of bytes into one ``bytes`` object, which takes less memory."""
    try:
        return bytes(raw) if type(raw) is list else raw
    except (TypeError, ValueError):
        return raw
