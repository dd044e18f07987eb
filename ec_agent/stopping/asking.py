"""Ask a plan and apply its answer. Live runs and ``replay`` use these functions, so both stop by the same rule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.numbers.signals import check_signals
from ec_agent.selectors.asking import selecting
from ec_agent.selectors.base import AnySelector, Candidate, Ranking, Selector
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.selectors.voting import VoteSelector
from ec_agent.stopping.base import More, Stop, StoppingPlan
from ec_agent.support.checks import function, refusal, repr_of
from ec_agent.support.plans import Plan, Step

PASSED_OVER = "passed over"
"""The reason of a candidate that ended but is not ranked, because it is not among those that the plan named."""

_ANSWER = "enough() must return Stop(reason) or More(count)"


def check_plan(plan: Any, name: str = "stop") -> None:
    """Check that this is a stopping plan.

    Args:
        plan: the value to check.
        name: the argument's name, for errors.

    Raises:
        ConfigError: it is not a plan (but a plan's class, for example), or it reads a signal that does not exist.
    """
    if isinstance(plan, type):
        raise refusal(name, plan, f"an object: {plan.__name__}(), not the class")
    if not isinstance(plan, StoppingPlan) or not callable(plan.enough):
        raise refusal(name, plan, "an object with enough(candidates, running, n): Agreement(), say")
    if inspect.iscoroutinefunction(plan.enough):
        raise refusal(name, plan, "a plan whose enough() is no coroutine function: it waits for nothing")
    function(f"{name}.enough", plan.enough, "a method", of=3)
    check_signals(getattr(plan, "signals", ()))


def signals_of(plan: StoppingPlan) -> tuple[str, ...]:
    """Return the names of the per-token signals that a plan reads; none if it has no attribute ``signals``."""
    return tuple(getattr(plan, "signals", ()))


def name_of(plan: StoppingPlan) -> str:
    """Return the plan's name in tables: its attribute ``name``, or the name of its class."""
    return str(getattr(plan, "name", type(plan).__name__))


def ask(plan: StoppingPlan, candidates: Iterable[Candidate], running: int, left: int) -> Stop | More:
    """Ask a plan about a round so far, and check its answer.

    Args:
        plan: the plan.
        candidates: the rollouts that are over. Failed ones are not shown to the plan.
        running: how many are running.
        left: how many are not started yet; at least 1 if none is running.

    Returns:
        ``Stop``, or ``More`` with a count of at most ``left``. If ``left`` is 0, ignore the count.

    Raises:
        ConfigError: the plan failed, answered something else, stopped before a rollout had ended, or named
            candidates that it was not given.
    """
    ended = tuple(sorted((c for c in candidates if c.error is None), key=lambda candidate: candidate.index))
    n = len(ended) + running + left
    who = f"the stopping plan {name_of(plan)}"
    answer: Any  # somebody's own plan may return anything
    try:
        answer = plan.enough(ended, running, n)
    except EcAgentError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{who} failed with {error!r} on {len(ended)} candidates, {running} running, n = {n}; {_ANSWER}"
        ) from error
    if isinstance(answer, More):
        return More(min(answer.count, left)) if left else answer
    if not isinstance(answer, Stop):
        if inspect.iscoroutine(answer):
            answer.close()
        raise ConfigError(f"{who} returned {repr_of(answer)}; {_ANSWER}")
    if not ended:
        raise ConfigError(f"{who} stopped before a rollout had ended; it must return More(count) where there is none")
    if answer.among is not None and (strangers := set(answer.among) - {candidate.index for candidate in ended}):
        raise ConfigError(
            f"{who} wants one of {list(answer.among)} taken, of which {sorted(strangers)} did not end; name indices of "
            "the candidates that it was given, or None for all of them"
        )
    return answer


def can_tell(candidates: Iterable[Candidate], coming: int) -> bool:
    """Whether it is time to ask a plan whose rollouts all started at once: one has ended, and others are to come."""
    return coming > 0 and any(candidate.error is None for candidate in candidates)


def rank(selector: Selector, candidates: Sequence[Candidate], among: Sequence[int] | None) -> Ranking:
    """Rank the candidates when only some of them may win.

    A ``ScoreSelector`` or ``VoteSelector`` sees all that ended, so that scores, vote shares and warnings are about all;
    those that may not win are then taken out of the order. Any other selector sees only those that may win, because
    its work may cost something for each candidate.

    Args:
        selector: the selector.
        candidates: all candidates, failed ones too.
        among: the indices of the candidates that may win; ``None`` for all.

    Returns:
        The ranking. A candidate that ended and may not win has the reason ``"passed over"``.
    """
    return _among(selector.select(_shown(selector, candidates, among)), candidates, among)


def ranked(
    selector: AnySelector,
    candidates: Sequence[Candidate],
    among: Sequence[int] | None,
    within: Callable[[Step], Step],
) -> Plan[Any]:
    """Rank as ``rank`` does, also with a selector that is async.

    Args:
        selector: the selector.
        candidates: all candidates, failed ones too.
        among: the indices of the candidates that may win; ``None`` for all.
        within: bounds the time of the selector's step.

    Returns:
        What the selector returned, which need not be a ranking if it is somebody's own.
    """
    ranking = yield within(selecting(selector, _shown(selector, candidates, among)))
    return _among(ranking, candidates, among) if isinstance(ranking, Ranking) else ranking


def _shown(selector: Any, candidates: Sequence[Candidate], among: Sequence[int] | None) -> Sequence[Candidate]:
    if among is None or isinstance(selector, ScoreSelector | VoteSelector):
        return candidates
    return [candidate for candidate in candidates if candidate.index in among]


def _among(ranking: Ranking, candidates: Sequence[Candidate], among: Sequence[int] | None) -> Ranking:
    if among is None:
        return ranking
    may, over = set(among), [c.index for c in candidates if c.error is None and c.index not in among]
    reasons = {**ranking.reasons, **{index: PASSED_OVER for index in over if index not in ranking.reasons}}
    return replace(ranking, order=tuple(index for index in ranking.order if index in may), reasons=reasons)


def taken(ranking: Ranking, candidates: Iterable[Candidate], among: Sequence[int] | None) -> int:
    """Return the winner's index: the first ranked; if none is ranked, the lowest of those that ended and may win."""
    if ranking.order:
        return ranking.order[0]
    return min(c.index for c in candidates if c.error is None and (among is None or c.index in among))
