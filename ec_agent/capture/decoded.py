"""Logprobs of whole answers, decoded; and a limit on how much of them may wait for the ends of their calls.

An answer is decoded when it comes, and read when its call ends. Through LangChain these are two moments, and answers to
other requests may come in between. Decoded they take three times the memory of their bytes, so only a few wait decoded.
The others wait as bytes, and are decoded again when they are read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Room:
    """A limit on a sum of sizes. Thread-safe.

    Args:
        size: the largest sum.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.RLock()  # a place may be given back by the garbage collector at any moment

    def place(self, size: int) -> Reserved | None:
        """Return a place of this size, which is taken as long as the object lives; ``None`` if there is no room."""
        with self._lock:
            if size > self._left:
                return None
            self._left -= size
        return Reserved(self, size)

    def give_back(self, size: int) -> None:
        """Make room for others again."""
        with self._lock:
            self._left += size


class Reserved:
    """Part of a ``Room``, taken as long as the object lives."""

    __slots__ = ("_room", "_size")

    def __init__(self, room: Room, size: int) -> None:
        self._room, self._size = room, size

    def __del__(self) -> None:
        """Give it back."""
        self._room.give_back(self._size)


class Read:
    """The logprobs of one holder as we read them. Kept as long as the call is in progress.

    Args:
        logprobs: the logprobs.
        again: decodes them again.
        place: the room that they take as long as they are kept.
    """

    __slots__ = ("__weakref__", "_again", "_logprobs", "_place")

    def __init__(self, logprobs: Any, again: Callable[[], Any], place: Reserved | None = None) -> None:
        self._logprobs, self._again, self._place = logprobs, again, place

    @property
    def logprobs(self) -> Any:
        """The logprobs."""
        if self._logprobs is None:
            self._logprobs = self._again()
        return self._logprobs

    def forget(self) -> None:
        """Forget them until somebody asks for them."""
        self._logprobs = None
