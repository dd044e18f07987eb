"""The selectors that give each rollout a number of its own and rank by it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors.base import Candidate, Ranking, candidates_of
from ec_agent.selectors.validity import validity


@dataclass(frozen=True, slots=True)
class Named(ABC):
    """A selector with a label, whose settings are its dataclass fields.

    Attributes:
        label: its name in ``SELECTORS``.
    """

    label: ClassVar[str]

    @property
    def name(self) -> str:
        """What it is called in receipts: the label, and the settings that are not the default ones."""
        return told_name(self)

    @property
    @abstractmethod
    def signals(self) -> tuple[str, ...]:
        """The per-token signals it reads, the one that coverage is counted by first; none for no logprobs at all."""

    @abstractmethod
    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank those of the candidates that may be ranked, the best first."""

    def entrants(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that may be ranked, by index: who reads no logprobs does not mind that they cannot be used."""
        fit = (c for c in candidates if c.eligible or (not self.signals and c.error is None))
        return sorted(fit, key=lambda candidate: candidate.index)


@dataclass(frozen=True, slots=True)
class ScoreSelector(Named):
    """Ranks by ``score``; ties go to the lowest index. A rollout's score does not depend on the others'.

    Attributes:
        lower_is_better: the direction.
        unscored_reason: why an eligible rollout may have no score.
    """

    lower_is_better: ClassVar[bool]
    unscored_reason: ClassVar[str] = "no_signal"

    @abstractmethod
    def score(self, candidate: Candidate) -> float | None:
        """The candidate's score, ``None`` where it has none: not scored is never 0.

        Raises:
            ConfigError: the candidate's calls were kept without a signal of ``signals``.
        """

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """What to know before trusting the order."""
        return validity(candidates, self.signals[0], phases=False) if self.signals else ()

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank by score, the best first."""
        candidates = candidates_of(candidates)
        entrants = self.entrants(candidates)
        scores: dict[int, float | None] = {candidate.index: None for candidate in candidates}
        scores |= {candidate.index: self.score(candidate) for candidate in entrants}
        scored = {index: score for index, score in scores.items() if score is not None}
        sign = 1 if self.lower_is_better else -1
        return Ranking(
            order=tuple(sorted(scored, key=lambda index: (sign * scored[index], index))),
            scores=scores,
            reasons={c.index: self.unscored_reason for c in entrants if c.index not in scored},
            warnings=self.warnings(candidates),
        )


def present(candidate: Candidate, signal: str) -> FloatArray:
    """The signal of the tokens that have it, shape ``(T,)``: gaps are left out, and what is beside them moves up."""
    values = candidate.trajectory.signal(signal)
    return values[~np.isnan(values)]


def mean(values: FloatArray) -> float | None:
    """The mean, ``None`` of nothing."""
    return float(values.mean()) if len(values) else None


def token_count(candidate: Candidate) -> float | None:
    """Generated tokens; ``None`` where they are not known."""
    calls = candidate.trajectory.calls
    known = calls and all(call.tokens is not None for call in calls)
    return float(len(candidate.trajectory)) if known else None


def call_count(candidate: Candidate) -> float | None:
    """LLM calls; ``None`` where none was seen, for then nobody knows."""
    return float(len(candidate.trajectory.calls)) or None


def told_name(owner: Any) -> str:
    """The label of an object whose settings are its dataclass fields, and those settings that are not the default."""
    told = [f"{f.name}={_shown(value)}" for f in fields(owner) if (value := getattr(owner, f.name)) != f.default]
    return f"{owner.label}({', '.join(told)})" if told else str(owner.label)


def _shown(value: Any) -> str:
    return str(getattr(value, "__qualname__", value))
