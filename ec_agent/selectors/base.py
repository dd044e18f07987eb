"""What a selector is: candidates in, a ranking out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.support.checks import several


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One rollout as a selector sees it: what it did, never whether it was right.

    Attributes:
        index: number of the rollout, from 0.
        trajectory: its LLM calls on one timeline.
        final_action: what it would do next: an answer, a tool call, a structured response.
        config: settings of the phases.
        unscored: why its logprobs cannot be used (``"coverage"``, ``"no model"``); ``None`` where they can.
        error: what it failed with; ``None`` for a rollout that ended.
    """

    index: int
    trajectory: Trajectory
    final_action: Any = None
    config: HEPConfig = field(default_factory=HEPConfig)
    unscored: str | None = None
    error: str | None = None

    @property
    def eligible(self) -> bool:
        """Whether the rollout ended and its logprobs can be used."""
        return self.error is None and self.unscored is None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A selector's verdict.

    Attributes:
        order: indices of the scored candidates, the best first. Empty where none could be scored.
        scores: score by index, ``None`` for a candidate without one. Which direction is better is the
            selector's own affair; ``order`` says it.
        reasons: why an eligible candidate has no score, by index.
        warnings: what a reader should know before trusting the order.
    """

    order: tuple[int, ...]
    scores: dict[int, float | None]
    reasons: dict[int, str]
    warnings: tuple[str, ...] = ()


def candidates_of(given: Any) -> tuple[Candidate, ...]:
    """What a selector was given to rank.

    Raises:
        ConfigError: something else is among it.
    """
    return several("candidates", given, Candidate, "a list of Candidate(...) objects")


@runtime_checkable
class Selector(Protocol):
    """An object that ranks candidates.

    Attributes:
        name: what it is called in receipts.
        signals: the per-token signals it reads (see ``ec_agent.numbers.signals.SIGNALS``). The first is the one that
            a rollout must have for at least ``min_coverage`` of its tokens. Where it names none, it needs no
            logprobs, and a rollout without them is as good as any.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # said above

    @property
    def signals(self) -> Sequence[str]: ...  # noqa: D102  # said above

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank the candidates. Those that are not ``eligible`` must not be ranked.

        A selector without ``signals`` may rank those that are ``unscored`` too: it does not read what they lack.
        """
        ...
