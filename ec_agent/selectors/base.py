"""The interface of a selector: it takes candidates and returns a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Protocol, runtime_checkable

from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.support.checks import several


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One rollout as a selector sees it. It does not say whether the rollout was right.

    Attributes:
        index: number of the rollout, from 0.
        trajectory: its LLM calls on one timeline.
        final_action: what the rollout would do next: an answer, a tool call, a structured response.
        config: settings of the High Entropy Phases.
        unscored: why its logprobs cannot be used: ``"coverage"`` (too few) or ``"no model"`` (no LLM call). ``None`` if
            they can be used.
        error: the error that the rollout failed with, or ``None`` if it did not fail.
        question: the agent's input, as the agent got it: a state with messages, a text. ``None`` if it is not known, as
            for most stored rollouts. It is shared by all candidates, so it must not be changed.
        probability: how likely it is right, by the calibration given as ``probability=``. Only the winner that
            ``route=`` gets has one; for a selector it is always ``None``.
    """

    index: int
    trajectory: Trajectory
    final_action: Any = None
    config: HEPConfig = field(default_factory=HEPConfig)
    unscored: str | None = None
    error: str | None = None
    question: Any = None
    probability: float | None = None

    @property
    def eligible(self) -> bool:
        """Whether the rollout did not fail and its logprobs can be used."""
        return self.error is None and self.unscored is None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The result of a selector.

    Attributes:
        order: indices of the scored candidates, the best first. Empty if no candidate has a score.
        scores: for each index the score, or ``None`` if the candidate has none. Whether lower or higher is better
            depends on the selector; ``order`` shows it.
        reasons: for the index of each eligible candidate without a score: why it has none, as a short code such as
            ``"no_phases"``.
        warnings: sentences that a reader should know before trusting the order.
        tie_breaks: for the index of a candidate: the number that decided among candidates with equal scores, lower
            first. Candidates with equal scores are tied in reports, unless their numbers here differ.
    """

    order: tuple[int, ...]
    scores: dict[int, float | None]
    reasons: dict[int, str]
    warnings: tuple[str, ...] = ()
    tie_breaks: dict[int, float] = field(default_factory=dict)


def candidates_of(given: Any) -> tuple[Candidate, ...]:
    """Check that a selector was given candidates; return them as a tuple.

    Raises:
        ConfigError: it is not a list of candidates.
    """
    return several("candidates", given, Candidate, "a list of Candidate(...) objects")


def reads(*signals: str) -> tuple[str, ...]:
    """Name the signals that a selector reads.

    Its class says ``signals = reads(ENTROPY)``. As a ``ClassVar`` they would not be what ``Selector`` asks for: to
    pyright, a ``ClassVar`` matches no property of a protocol. Without an annotation they are no field of a dataclass.
    """
    return signals


@runtime_checkable
class Selector(Protocol):
    """An object that ranks candidates.

    Attributes:
        name: the selector's name in receipts.
        signals: names of the per-token signals it reads (see ``ec_agent.numbers.signals.SIGNALS``). A rollout must
            have the first one for at least ``min_coverage`` of its tokens. If empty, the selector needs no logprobs,
            and rollouts without logprobs take part.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # the docstring of the class describes it

    @property
    def signals(self) -> Sequence[str]: ...  # noqa: D102  # the docstring of the class describes it

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank the candidates.

        Candidates that are not ``eligible`` must not be ranked. One exception: a selector without ``signals`` may rank
        those that are ``unscored``, because it does not need the logprobs that they lack.
        """
        ...


@runtime_checkable
class AsyncSelector(Protocol):
    """A selector that waits for something, usually for a model that it asks.

    Besides ``aselect`` it may have ``select``, for sync runs. Without ``select``, a sync run waits for ``aselect`` in
    an event loop of its own. The calls of LLMs that it makes are on the bill of the question, and belong to no rollout.

    Attributes:
        name: as in ``Selector``.
        signals: as in ``Selector``.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # the docstring of the class describes it

    @property
    def signals(self) -> Sequence[str]: ...  # noqa: D102  # the docstring of the class describes it

    async def aselect(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank the candidates, as ``Selector.select`` does.

        It may have an attribute ``on_failure``, which says who chooses if it raises: ``"raise"``, ``"first"``, or
        another selector.
        """
        ...


AnySelector = Selector | AsyncSelector


def is_async(selector: Any) -> bool:
    """Tell whether a selector has an async form, as those have that ask a model."""
    return isinstance(selector, AsyncSelector) or iscoroutinefunction(getattr(selector, "select", None))


def has_sync_form(selector: Any) -> bool:
    """Tell whether a selector can rank without an event loop."""
    return isinstance(selector, Selector) and not iscoroutinefunction(selector.select)
