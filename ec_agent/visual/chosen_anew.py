"""Selections of rollouts that were read back: chosen anew, from the same timelines."""

from __future__ import annotations

from collections.abc import Sequence

from ec_agent.errors import ConfigError
from ec_agent.numbers.signals import ENTROPY, leading
from ec_agent.rollouts.choosing import margin_of, receipt_of
from ec_agent.rollouts.record import total, usage_of
from ec_agent.rollouts.selection import Seen, Selection
from ec_agent.selectors import Candidate, Selector
from ec_agent.selectors.registry import check_selector


def selection_of(candidates: Sequence[Candidate], selector: Selector) -> Selection:
    """What the selector makes of these rollouts, with the rollouts.

    Where none could be ranked, the first that ended wins; where all failed, the winner is the first, failed as it is.

    Args:
        candidates: one a rollout, in index order.
        selector: who chooses.

    Raises:
        ConfigError: there is no candidate, or the selector may ask a model.
    """
    if not candidates:
        raise ConfigError("there is no rollout to choose from; give at least one candidate")
    check_selector(selector)
    ranking = selector.select(candidates)
    ended = [candidate.index for candidate in candidates if candidate.error is None]
    signal = leading(selector.signals) or ENTROPY
    return Selection(
        winner=[*ranking.order, *ended, candidates[0].index][0],
        order=tuple(ranking.order),
        candidates=tuple(
            receipt_of(
                candidate,
                ranking,
                signal,
                tool_calls=sum(len(call.tools) for call in candidate.trajectory.calls),
                seconds=_seconds(candidate),
            )
            for candidate in candidates
        ),
        margin=margin_of(ranking),
        selector=selector.name,
        config=candidates[0].config,
        distinct=len(ended),
        usage=total([usage_of(candidate.trajectory.calls) for candidate in candidates]),
        warnings=tuple(ranking.warnings),
        seen=Seen(
            tuple(candidate.trajectory for candidate in candidates),
            tuple(candidate.final_action for candidate in candidates),
        ),
    )


def _seconds(candidate: Candidate) -> float:
    """From the start of the first call to the end of the last: that is what its timeline tells."""
    calls = candidate.trajectory.calls
    starts = [call.started for call in calls if call.started is not None]
    ends = [call.ended for call in calls if call.ended is not None]
    return max(ends) - min(starts) if starts and ends else 0.0
