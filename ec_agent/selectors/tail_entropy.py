"""Tail entropy: the entropy of the last tokens, in a window that is as long as the rollouts of the question suggest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import ENTROPY
from ec_agent.selectors.base import Candidate, Ranking, candidates_of, reads
from ec_agent.selectors.scoring import Named, by_score, present
from ec_agent.selectors.validity import validity
from ec_agent.support.checks import checked, whole

_NO_SIGNAL = "no_signal"


@dataclass(frozen=True, slots=True)
class TailEntropy(Named):
    """Prefer the rollout whose last tokens have the lowest median entropy.

    The window is the same for all rollouts of a question: ``sqrt(mean length) / mean entropy`` tokens, rounded down,
    at least ``least`` and at most ``most``. Both means are over the rollouts that can be ranked, the entropy's over all
    their tokens together. So it is longer if rollouts are long and sure. A rollout with fewer tokens is taken whole.
    Tokens without an entropy are left out. Because the window depends on all rollouts, so does each score.

    The authors' code also leaves out the longest and shortest rollouts where there are many; this does not.

    Attributes:
        least: the shortest window, in tokens.
        most: the longest window, in tokens.

    Raises:
        ConfigError: a window is not a whole number of at least 1, or ``least`` is above ``most``.

    Source: arXiv 2606.08850, as in its_hub.
    """

    label: ClassVar[str] = "tail_entropy"
    signals = reads(ENTROPY)

    least: int = 64
    most: int = 2048

    def __post_init__(self) -> None:
        checked(self, "least", whole, rather="a whole number of tokens, at least 1")
        checked(self, "most", whole, rather="a whole number of tokens, at least 1")
        if self.least > self.most:
            raise ConfigError(f"least is {self.least} and most is {self.most} tokens; give a least that is no larger")

    def window(self, candidates: Sequence[Candidate]) -> int | None:
        """Return the length of the window for these rollouts, in tokens; ``None`` if none of them can be ranked."""
        found = [_Tail(present(candidate, ENTROPY)) for candidate in self.entrants(candidates_of(candidates))]
        return self._window(found)

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank the candidates, the best first."""
        candidates = candidates_of(candidates)
        ranking = self.prepared(candidates).select(candidates)
        return replace(ranking, warnings=validity(candidates, ENTROPY, phases=False))

    def prepared(self, candidates: Sequence[Candidate]) -> PreparedTailEntropy:
        """Return a selector for any of these candidates that has read their tokens already. It gives no warnings.

        An evaluation ranks very many subsets of the same rollouts.
        """
        tails = {candidate.index: _Tail(present(candidate, ENTROPY)) for candidate in self.entrants(candidates)}
        return PreparedTailEntropy(self, tails)

    def _window(self, tails: Iterable[_Tail]) -> int | None:
        known = [tail for tail in tails if len(tail.values)]
        if not known:
            return None
        tokens, entropy = sum(len(tail.values) for tail in known), math.fsum(tail.total for tail in known)
        if entropy <= 0:
            return self.most
        return min(self.most, max(self.least, int(min(math.sqrt(tokens / len(known)) / (entropy / tokens), self.most))))


@dataclass(slots=True)
class _Tail:
    """The entropies of one rollout, and the medians of its last tokens, by the length of the window."""

    values: FloatArray
    total: float = field(init=False)
    medians: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = float(self.values.sum())

    def median(self, window: int) -> float | None:
        if not len(self.values):
            return None
        window = min(window, len(self.values))
        if window not in self.medians:
            self.medians[window] = float(np.median(self.values[-window:]))
        return self.medians[window]


@dataclass(frozen=True, slots=True)
class PreparedTailEntropy:
    """``TailEntropy`` for certain candidates; see ``TailEntropy.prepared``."""

    selector: TailEntropy
    tails: dict[int, _Tail]
    signals: tuple[str, ...] = (ENTROPY,)

    @property
    def name(self) -> str:
        """The name of ``TailEntropy``."""
        return self.selector.name

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank the candidates, the best first."""
        mine = {candidate.index: self.tails[candidate.index] for candidate in self.selector.entrants(candidates)}
        window = self.selector._window(mine.values())
        scores = {index: None if window is None else tail.median(window) for index, tail in mine.items()}
        return by_score(candidates, scores, lower_is_better=True, unscored_reason=_NO_SIGNAL)
