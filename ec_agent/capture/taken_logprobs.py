"""Logprobs that were taken out of an answer, and putting them back for our own reading.

``ec_agent.capture.beneath``, or a transport (``ec_agent.capture.transport``), takes logprobs out of an answer, so that
the client need not make objects of them. The record needs them together with the rest of the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ec_agent.capture.decoded import Read
from ec_agent.capture.shapes import entries_of, get
from ec_agent.capture.shapes.json_parts import JsonKind, JsonPart
from ec_agent.capture.shapes.marks import WIDTH, marks_of_entries
from ec_agent.capture.shapes.readings import ReadEntries

Path = tuple[str | int, ...]
Taken = Sequence[tuple[Path, Any]]
"""Pairs of a path (keys and indices) and the logprobs that were taken out of the object at that path."""
Event = Taken | Any
"""What was taken out of one event; or an object that has all that is needed of the event, to read in its place."""

RECORDED = object()
"""In place of an event whose parts were recorded when they came."""


@dataclass(eq=False, slots=True)
class TakenLogprobs:
    """Carries the logprobs of one request's answer from where they were taken out to the record.

    Attributes:
        streamed: whether the answer was asked for as a stream.
        wanted: whether logprobs may be taken out of the answer.
        took: whether any logprobs were taken out.
        by_transport: whether a transport changes the answer.
        whole: what was taken out of a whole answer: the logprobs, or ``Read``.
        whole_from: the HTTP response of that answer, until the client's object has them back.
        kinds: the kinds of events of which chunks were made quickly.
        entries_of: decodes the logprobs of such an event.
        events: what was taken out of each event that the client has not read yet.
    """

    streamed: bool = False
    wanted: bool = False
    took: bool = False
    by_transport: bool = False
    whole: Taken = ()
    whole_from: Any = None
    kinds: list[JsonKind] = field(default_factory=list)
    entries_of: Callable[[bytes], list[Any] | None] | None = None
    events: deque[Event] = field(default_factory=deque)

    def clear(self) -> None:
        """Forget what a transport took out, because the client sends the request again."""
        self.whole, self.took, self.by_transport = (), False, False
        self.events.clear()

    def forget(self, entries: Sequence[Any] = ()) -> None:
        """Forget what is decoded of a whole answer, where it can be decoded again.

        Args:
            entries: the entries that were read of it. Messages are recognised by their marks.
        """
        known = entries.marks if isinstance(entries, ReadEntries) and len(self.whole) == 1 else b""
        for _, logprobs in self.whole:
            if isinstance(logprobs, Read):
                own = entries_of(logprobs.logprobs)
                logprobs.marks = known if len(known) == WIDTH * len(own) else marks_of_entries(own)
                logprobs.forget()

    def kind(self, *rest: dict[str, Any]) -> int:
        """Note a kind of events, by the arguments of ``JsonKind``, and return its index."""
        self.kinds.append(JsonKind(*rest))
        return len(self.kinds) - 1

    def made(self, kind: int = -1, text: str = "", logprobs: bytes | None = None) -> None:
        """Note an event of which a chunk was made quickly: its kind, text and logprobs; nothing of other events."""
        self.took = self.took or logprobs is not None
        self.events.append(() if kind < 0 else (kind, text, logprobs))

    def unpacked(self, part: Any) -> Any:
        """Return a part of a stream that can be read. Only those that were made quickly are kept in another form."""
        if type(part) is not tuple:
            return part
        kind, text, logprobs = part
        entries = self.entries_of(logprobs) if logprobs is not None and self.entries_of is not None else None
        return JsonPart(self.kinds[kind], text, entries or [])

    def put_back(self, chunk: Any) -> Any:
        """Return the next chunk of the client with what was taken out of its event, or ``RECORDED``."""
        event = self.events.popleft() if self.events else ()
        packed = type(event) is tuple and event and type(event[0]) is int
        return event if packed or not isinstance(event, Sequence) else restored(chunk, event)


class _Overlaid:
    """Wraps an object or mapping and replaces some of its attributes. ``shapes.get`` reads it like any object."""

    __slots__ = ("_over", "_under")

    def __init__(self, under: Any, over: Mapping[str, Any]) -> None:
        self._under, self._over = under, over

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # vars() and the like must see this object, not the one under it
            raise AttributeError(name)
        return self._over[name] if name in self._over else get(self._under, name)


def restored(answer: Any, taken: Taken) -> Any:
    """Return the answer with the logprobs that were taken out of it back in their places.

    Places that the answer does not have are skipped.

    Args:
        answer: the answer, as an object or JSON. It is not changed.
        taken: the logprobs, with their paths.
    """
    if not taken:
        return answer
    tree: dict[str | int, Any] = {}
    for path, logprobs in taken:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node["logprobs"] = logprobs.logprobs if isinstance(logprobs, Read) else logprobs
    return _laid(answer, tree)


def _laid(under: Any, tree: Mapping[Any, Any]) -> Any:
    if under is None or isinstance(under, str | bytes):
        return under
    if isinstance(under, Sequence):
        return [_laid(each, tree[place]) if place in tree else each for place, each in enumerate(under)]
    return _Overlaid(
        under,
        {name: below if name == "logprobs" else _laid(get(under, name), below) for name, below in tree.items()},
    )


take_into: ContextVar[TakenLogprobs | None] = ContextVar("ec_agent_take_into", default=None)
"""Where the logprobs taken out of the answer to the present request go. With ``None`` they must stay in place."""
