"""Asking a plan, in one place: what runs and what is replayed is stopped by the same rule."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.numbers.signals import check_signals
from ec_agent.selectors.base import Candidate, Ranking, Selector
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.selectors.voting import VoteSelector
from ec_agent.stopping.base import More, Stop, StoppingPlan
from ec_agent.support.checks import function, refusal, repr_of

PASSED_OVER = "passed over"
"""Why a candidate that ended has no place in the order: the plan said that one of others is to be taken."""

_ANSWER = "enough() must return Stop(reason) or More(count)"


def check_plan(plan: Any, name: str = "stop") -> None:
    """Refuse what is no stopping plan.

    Args:
        plan: what was given.
        name: what errors call it.

    Raises:
        ConfigError: it is none, a class of them perhaps, or reads a signal that there is not.
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
    """The per-token signals that a plan reads; none of one that does not say so."""
    return tuple(getattr(plan, "signals", ()))


def name_of(plan: StoppingPlan) -> str:
    """What a plan is called in tables: its ``name``, or its class's."""
    return str(getattr(plan, "name", type(plan).__name__))


def ask(plan: StoppingPlan, candidates: Iterable[Candidate], running: int, left: int) -> Stop | More:
    """What a plan says of a round so far.

    Args:
        plan: the plan.
        candidates: the rollouts that came to an end; those that failed are left out here.
        running: how many are under way.
        left: how many are not started yet. With none under way it is at least 1, for else there is nothing to ask.

    Returns:
        ``Stop``, or ``More`` of at most ``left``; where none is left the count means nothing.

    Raises:
        ConfigError: the plan failed, answered something else, said enough before a rollout had ended, or named
            candidates that there are not.
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


def rank(selector: Selector, candidates: Sequence[Candidate], among: Sequence[int] | None) -> Ranking:
    """A selector's ranking where only some may be taken.

    A selector of ours that judges each rollout on its own, or counts votes, sees all that ended, so that scores, shares
    and warnings are about all of them; only the order is cut down. Any other is given those alone of which one is to be
    taken: what it is asked about may cost something.

    Args:
        selector: the selector.
        candidates: all candidates, failed ones too.
        among: the indices that may be taken; ``None`` for all.

    Returns:
        The ranking; those passed over have ``"passed over"`` for their reason.
    """
    if among is None:
        return selector.select(candidates)
    may, over = set(among), [c.index for c in candidates if c.error is None and c.index not in among]
    if isinstance(selector, ScoreSelector | VoteSelector):
        ranking = selector.select(candidates)
        order = tuple(index for index in ranking.order if index in may)
    else:
        ranking = selector.select([candidate for candidate in candidates if candidate.index in may])
        order = ranking.order
    reasons = {**ranking.reasons, **{index: PASSED_OVER for index in over if index not in ranking.reasons}}
    return replace(ranking, order=order, reasons=reasons)


def taken(ranking: Ranking, candidates: Iterable[Candidate], among: Sequence[int] | None) -> int:
    """The index of the winner: the first ranked; where none was, the first that ended of those that may be taken."""
    if ranking.order:
        return ranking.order[0]
    return min(c.index for c in candidates if c.error is None and (among is None or c.index in among))
