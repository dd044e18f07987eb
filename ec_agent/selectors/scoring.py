"""The base classes of selectors: ``Named`` for all, ``ScoreSelector`` for those that score each rollout by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors.base import Candidate, Ranking, candidates_of
from ec_agent.selectors.validity import validity


@dataclass(frozen=True, slots=True)
class Named(ABC):
    """Base class of all selectors. A subclass has a label, and its dataclass fields are its settings.

    Attributes:
        label: the selector's name in ``SELECTORS``.
    """

    label: ClassVar[str]

    @property
    def name(self) -> str:
        """The selector's name in receipts: the label, then the settings that differ from the defaults."""
        return told_name(self)

    @property
    @abstractmethod
    def signals(self) -> tuple[str, ...]:
        """Names of the per-token signals that the selector reads. Coverage is computed from the first.

        Empty if the selector needs no logprobs.
        """

    @abstractmethod
    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank the candidates that may be ranked (``entrants``), the best first."""

    def entrants(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates that may be ranked, by index: those that are eligible.

        If the selector reads no logprobs, candidates that are unscored for want of logprobs may be ranked too.
        """
        fit = (c for c in candidates if c.eligible or (not self.signals and c.error is None))
        return sorted(fit, key=lambda candidate: candidate.index)


@dataclass(frozen=True, slots=True)
class ScoreSelector(Named):
    """Base class of selectors that give each rollout a score, independent of the other rollouts, and rank by it.

    If scores are equal, the lowest index comes first.

    Attributes:
        lower_is_better: whether the lowest score wins; otherwise the highest wins.
        unscored_reason: the reason that the ranking gives for an eligible candidate without a score.
    """

    lower_is_better: ClassVar[bool]
    unscored_reason: ClassVar[str] = "no_signal"

    @abstractmethod
    def score(self, candidate: Candidate) -> float | None:
        """Return the score of a candidate, or ``None`` if it has none. A missing score is not a score of 0.

        Raises:
            ConfigError: one of ``signals`` was not kept for a call of the candidate.
        """

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Return what to know before trusting the order: sentences for the receipt; see ``validity``."""
        return validity(candidates, self.signals[0], phases=False) if self.signals else ()

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Score the candidates and rank them, the best first."""
        candidates = candidates_of(candidates)
        scores = {candidate.index: self.score(candidate) for candidate in self.entrants(candidates)}
        return by_score(
            candidates,
            scores,
            lower_is_better=self.lower_is_better,
            unscored_reason=self.unscored_reason,
            warnings=self.warnings(candidates),
        )


def by_score(
    candidates: Sequence[Candidate],
    scores: Mapping[int, float | None],
    *,
    lower_is_better: bool,
    unscored_reason: str,
    warnings: Sequence[str] = (),
) -> Ranking:
    """Rank candidates by their scores; of equal scores, the lowest index comes first.

    Args:
        candidates: all candidates.
        scores: the score of each that may be ranked, by index; ``None`` if it has none.
        lower_is_better: whether the lowest score wins.
        unscored_reason: the reason that the ranking gives for those that may be ranked and have no score.
        warnings: what a reader should know before trusting the order.
    """
    scored = {index: score for index, score in scores.items() if score is not None}
    sign = 1 if lower_is_better else -1
    return Ranking(
        order=tuple(sorted(scored, key=lambda index: (sign * scored[index], index))),
        # Candidates that may not be ranked get no score, but are in the receipt.
        scores={candidate.index: scores.get(candidate.index) for candidate in candidates},
        reasons={index: unscored_reason for index in scores if index not in scored},
        warnings=tuple(warnings),
    )


def present(candidate: Candidate, signal: str) -> FloatArray:
    """Return a signal of a candidate's timeline without gaps: the values of the tokens that have it, shape ``(T,)``."""
    values = candidate.trajectory.signal(signal)
    return values[~np.isnan(values)]


def mean(values: FloatArray) -> float | None:
    """Return the mean, or ``None`` if there are no values."""
    return float(values.mean()) if len(values) else None


def token_count(candidate: Candidate) -> float | None:
    """Return the number of generated tokens, or ``None`` if a call did not report it or no call was captured."""
    calls = candidate.trajectory.calls
    known = calls and all(call.tokens is not None for call in calls)
    return float(len(candidate.trajectory)) if known else None


def call_count(candidate: Candidate) -> float | None:
    """Return the number of LLM calls, or ``None`` if none was captured: the agent may call models in another way."""
    return float(len(candidate.trajectory.calls)) or None


def told_name(owner: Any) -> str:
    """Return the label of an object, then those of its dataclass fields that differ from the defaults."""
    told = [f"{f.name}={_shown(value)}" for f in fields(owner) if (value := getattr(owner, f.name)) != f.default]
    return f"{owner.label}({', '.join(told)})" if told else str(owner.label)


def _shown(value: Any) -> str:
    return str(getattr(value, "__qualname__", value))
