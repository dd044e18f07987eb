"""What a transport below the client took out of an answer, and that answer with it put back, for our own reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ec_agent.capture.shapes import get

Path = tuple[str | int, ...]
Taken = Sequence[tuple[Path, Any]]
"""Logprobs, read, and the path of keys and indices to what they were in."""
Event = Taken | Any
"""What is known of one event: what was taken out of it; or all of it that counts, to be read in the chunk's place."""


@dataclass(eq=False, slots=True)
class TakenLogprobs:
    """The logprobs of one request's answer, on their way from the transport to the record.

    Attributes:
        streamed: whether the answer was asked for as a stream.
        whole: those of a whole answer.
        events: what is known of each event of a streamed one that the client has not yet come to.
    """

    streamed: bool = False
    whole: Taken = ()
    events: deque[Event] = field(default_factory=deque)

    def clear(self) -> None:
        """Forget an attempt: the client sends the request once more."""
        self.whole = ()
        self.events.clear()

    def put_back(self, chunk: Any) -> Any:
        """The client's next chunk, with what was taken out of its event."""
        event = self.events.popleft() if self.events else ()
        return restored(chunk, event) if isinstance(event, Sequence) else event


class _Overlaid:
    """An object or mapping, some of whose attributes are others; for ``shapes.get``, which takes keys as attributes."""

    __slots__ = ("_over", "_under")

    def __init__(self, under: Any, over: Mapping[str, Any]) -> None:
        self._under, self._over = under, over

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # who asks what the object is itself (``vars``) is not to be told of the one below
            raise AttributeError(name)
        return self._over[name] if name in self._over else get(self._under, name)


def restored(answer: Any, taken: Taken) -> Any:
    """The answer, its logprobs back in their places; a place it does not have stays away."""
    if not taken:
        return answer
    tree: dict[str | int, Any] = {}
    for path, logprobs in taken:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node["logprobs"] = logprobs
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
"""Where a transport puts the logprobs of the request being sent in this context; ``None``: it is to leave them."""
