"""The selectors that know nothing but how long a rollout was: what a clever one has to be told apart from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ec_agent.selectors import Candidate, Ranking, Selector

FEWEST_CALLS, MOST_CALLS, SHORTEST, LONGEST = "fewest_calls", "most_calls", "shortest", "longest"


def tokens_of(candidate: Candidate) -> int:
    """Generated tokens of a rollout."""
    return len(candidate.trajectory)


def calls_of(candidate: Candidate) -> int:
    """LLM calls of a rollout."""
    return len(candidate.trajectory.calls)


@dataclass(frozen=True, slots=True)
class ByCount:
    """Rank the rollouts that ended by a count.

    Attributes:
        name: what it is called.
        count: the count.
        most: whether the largest is picked; else the smallest.
    """

    name: str
    count: Callable[[Candidate], int]
    most: bool = False

    @property
    def signals(self) -> tuple[str, ...]:
        """None: it needs no logprobs."""
        return ()

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank by the count; failed rollouts are not ranked."""
        counts = {c.index: self.count(c) for c in candidates if c.error is None}
        order = sorted(counts, key=lambda index: (-counts[index] if self.most else counts[index], index))
        return Ranking(tuple(order), {c.index: counts.get(c.index) for c in candidates}, {})


PANEL: Mapping[str, Selector] = MappingProxyType(
    {
        FEWEST_CALLS: ByCount(FEWEST_CALLS, calls_of),
        MOST_CALLS: ByCount(MOST_CALLS, calls_of, most=True),
        SHORTEST: ByCount(SHORTEST, tokens_of),
        LONGEST: ByCount(LONGEST, tokens_of, most=True),
    }
)
"""Name -> selector."""
