"""What is kept of the entries of an answer once they are read.

An answer may have to wait, read, for the end of its call. Its entries take hundreds of times the memory of a signal, so
they are made again if somebody looks at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ec_agent.capture.shapes.gaps import Gaps
from ec_agent.capture.shapes.marks import marks_of_entries
from ec_agent.capture.shapes.tokens import capability_of, tokens_of
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import ENTROPY, SIGNALS, TokenLogprobs
from ec_agent.numbers.trajectory import Capability, Likeliest


@dataclass(frozen=True, slots=True, eq=False)
class TokenSignals:
    """What is kept of T entries.

    Attributes:
        signals: by name, each of shape ``(T,)``. The entropy is among them.
        capability: which logprobs came.
        texts: the texts of the tokens, if they are kept.
        candidates: the likeliest candidates of each token, if they are kept.
    """

    signals: Mapping[str, FloatArray]
    capability: Capability
    texts: tuple[str, ...] | None
    candidates: tuple[Likeliest, ...] | None

    @classmethod
    def of(cls, tokens: TokenLogprobs, names: Sequence[str]) -> Self:
        """Compute the signals with these names."""
        signals = {name: SIGNALS[name](tokens) if len(tokens) else np.empty(0) for name in names}
        return cls(signals, capability_of(tokens, signals[ENTROPY]), tokens.texts, tokens.candidates)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.signals[ENTROPY])


@dataclass(frozen=True, slots=True)
class Reading:
    """How entries are read.

    Attributes:
        signals: names of the signals to compute; the entropy must be among them.
        top_k: how many candidates were asked for. If more came, only the likeliest count.
        keep_text: whether to keep the texts of tokens.
        keep_candidates: how many of the likeliest candidates of each token to keep.
    """

    signals: tuple[str, ...]
    top_k: int | None = None
    keep_text: bool = False
    keep_candidates: int = 0

    def of(self, entries: Sequence[Any]) -> TokenSignals:
        """Read entries, unless they were read in this way before. Never raises."""
        if isinstance(entries, ReadEntries) and entries.reading == self:
            return entries.read
        return TokenSignals.of(tokens_of(entries, self.keep_text, self.top_k, self.keep_candidates), self.signals)


class ReadEntries(Sequence[Any]):
    """Entries that were read. They are made again when somebody looks at them.

    Attributes:
        reading: how they were read.
        read: what is kept of them.
        marks: their marks.
        gaps: where tokens are missing between them, by the number of tokens, if it was asked before.

    Args:
        entries: the entries.
        reading: how to read them.
        again: makes the entries again.
    """

    def __init__(self, entries: Sequence[Any], reading: Reading, again: Callable[[], Sequence[Any]]) -> None:
        self.reading, self.read = reading, reading.of(entries)
        self.marks = marks_of_entries(entries)
        self.gaps: dict[int | None, Gaps] = {}
        self._size, self._again = len(entries), again
        self._made: Sequence[Any] | None = None

    def _entries(self) -> Sequence[Any]:
        if self._made is None:
            self._made = self._again()
        return self._made

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._size

    def __getitem__(self, place: Any) -> Any:
        """Return an entry."""
        return self._entries()[place]

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the entries."""
        return iter(self._entries())
