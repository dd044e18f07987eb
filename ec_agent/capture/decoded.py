"""Logprobs of whole answers, decoded.

An answer is decoded and read when it comes. Decoded, it takes three times the memory of its bytes. So what waits for
the end of its call is what was read, and its bytes, of which it can be decoded again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Read:
    """The logprobs of one holder as we read them. Kept as long as the call is in progress.

    Attributes:
        marks: the marks of their entries, once they were read.

    Args:
        logprobs: the logprobs.
        again: decodes them again.
    """

    __slots__ = ("__weakref__", "_again", "_logprobs", "marks")

    def __init__(self, logprobs: Any, again: Callable[[], Any]) -> None:
        self._logprobs, self._again = logprobs, again
        self.marks: bytes | None = None

    @property
    def logprobs(self) -> Any:
        """The logprobs."""
        if self._logprobs is None:
            self._logprobs = self._again()
        return self._logprobs

    def forget(self) -> None:
        """Forget them until somebody asks for them."""
        self._logprobs = None
