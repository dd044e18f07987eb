"""What a selector makes of one task's rollouts, before anybody looks at an outcome. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ec_agent.errors import ConfigError
from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors import Candidate, Ranking, Selector

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """The rollouts of one task in levels, the best first; rollouts of one level are tied.

    Rollouts that ended but were not ranked share the level after the last ranked one, and failed ones the level
    after that. So a selector that ranks nothing picks among all that ended, each as likely as the other.

    Attributes:
        levels: shape ``(N,)``, 0 for the best; in the order of the candidates.
        ranked: shape ``(N,)``, whether the selector ranked it.
        scores: shape ``(N,)``, the selector's own scores, NaN where it gave none.
        warnings: what the selector said about this task.
    """

    levels: IntArray
    ranked: NDArray[np.bool_]
    scores: FloatArray
    warnings: tuple[str, ...] = ()

    @property
    def picked(self) -> tuple[int, ...]:
        """Positions of the candidates that share the pick."""
        return tuple(np.flatnonzero(self.levels == self.levels.min()).tolist())

    @property
    def fell_back(self) -> bool:
        """Whether nothing was ranked, so that the pick is any rollout that ended."""
        return not self.ranked.any()

    def accuracy(self, correct: FloatArray) -> float:
        """Mean verdict of those that share the pick: ties are averaged, never broken.

        Args:
            correct: shape ``(N,)``, the verdicts, in [0, 1].
        """
        return float(correct[list(self.picked)].mean())

    def chance(self, correct: FloatArray) -> float:
        """Expected verdict of the pick if the levels of the ranked rollouts stood in a random order.

        It is what a score with the same ties makes that knows nothing. It is not Pass@1: identical rollouts have one
        score and stand or fall together, so such a score picks among *distinct* rollouts, and a rare answer as
        readily as a frequent one. And it passes over rollouts that failed.

        Args:
            correct: shape ``(N,)``, the verdicts, in [0, 1].
        """
        if self.fell_back:
            return self.accuracy(correct)
        levels = np.unique(self.levels[self.ranked])
        return float(np.mean([correct[self.levels == level].mean() for level in levels]))


def standing(candidates: Sequence[Candidate], selector: Selector) -> Standing:
    """Let a selector rank one task's rollouts. It is handed the candidates, which know no outcome.

    Two ranked candidates are tied where their scores are equal, to the last bit: identical rollouts have identical
    scores. They are not tied where the selector says what broke the tie (``Ranking.tie_breaks``). A candidate that is
    ranked without a score is tied with nobody.

    Raises:
        ConfigError: there are no candidates, two share an index, or the ranking is not one of them.
    """
    places = {candidate.index: place for place, candidate in enumerate(candidates)}
    if not candidates or len(places) != len(candidates):
        raise ConfigError(f"{len(candidates)} candidates with {len(places)} indices; give one or more, each its own")
    ranking = selector.select(candidates)
    _check(ranking, candidates, selector)
    scores = np.full(len(candidates), np.nan)
    for index, score in ranking.scores.items():
        if index in places and score is not None:
            scores[places[index]] = score
    ordered = [places[index] for index in ranking.order]
    ranked = np.zeros(len(candidates), np.bool_)
    ranked[ordered] = True
    levels = np.zeros(len(candidates), np.int64)
    broken = np.array([ranking.tie_breaks.get(candidate.index, np.inf) for candidate in candidates])
    steps = [
        before is not None and (scores[before] != scores[here] or broken[before] != broken[here])
        for before, here in _pairs(ordered)
    ]
    levels[ordered] = np.cumsum(steps)  # NaN differs from NaN: no score, no tie
    rest = int(levels[ordered].max()) + 1 if ordered else 0
    for place, candidate in enumerate(candidates):
        if not ranked[place]:
            levels[place] = rest + (candidate.error is not None)
    return Standing(levels, ranked, scores, tuple(ranking.warnings))


def _pairs(places: Sequence[int]) -> Iterable[tuple[int | None, int]]:
    return zip((None, *places), places, strict=False)


def _check(ranking: Ranking, candidates: Sequence[Candidate], selector: Selector) -> None:
    may_win = {candidate.index for candidate in candidates if candidate.error is None}
    order = list(ranking.order)
    if len(set(order)) != len(order) or not set(order) <= may_win:
        raise ConfigError(
            f"selector {selector.name!r} ranked {order} of the rollouts {sorted(may_win)} that ended; "
            "a selector must rank rollouts it was given, each at most once, and none that failed"
        )
