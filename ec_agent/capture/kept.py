"""What a rollout keeps for people to look at, besides numbers: whether texts, and how many candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """What a recorder keeps besides numbers.

    Attributes:
        text: whether to keep the texts of tokens, and the arguments and results of tools.
        candidates: how many of the likeliest candidates of each token to keep.
    """

    text: bool = False
    candidates: int = 0

    @classmethod
    def for_all(cls, wishes: Sequence[Kept]) -> Kept:
        """Return settings that keep everything that any of these keeps."""
        if len(wishes) == 1:
            return wishes[0]
        return cls(any(each.text for each in wishes), max(each.candidates for each in wishes))
