"""From what ``best_of_n`` leaves to what is stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.record import usage_of
from ec_agent.rollouts.selection import CandidateReceipt, Selection
from ec_agent.traces.rows import Key, StoredRollout


class Selected(Protocol):
    """What can be recorded: a ``BestOfNResult``, or anything with these parts of one."""

    @property
    def selection(self) -> Selection: ...  # noqa: D102  # as there

    @property
    def trajectories(self) -> Sequence[Trajectory]: ...  # noqa: D102  # as there

    @property
    def final_actions(self) -> Sequence[Any]: ...  # noqa: D102  # as there


@dataclass(frozen=True, slots=True)
class Left:
    """What a finished question left behind, with the names of a ``BestOfNResult``."""

    selection: Selection
    trajectories: Sequence[Trajectory]
    final_actions: Sequence[Any]


def candidate_of(
    selection: int, receipt: CandidateReceipt, trajectory: Trajectory, final_action: Any, now: float
) -> StoredRollout:
    """One candidate of the selection with that id, as it is stored."""
    begun = [call.started for call in trajectory.calls if call.started is not None]
    seed = receipt.sampling.get("seed")
    return StoredRollout(
        key=Key("", "sample", receipt.index),
        seed=seed if isinstance(seed, int) else None,
        sampling=receipt.sampling,
        trajectory=trajectory,
        final_action=final_action,
        verdict=0.0 if receipt.error else float("nan"),
        error=receipt.error,
        started=min(begun, default=now),
        seconds=receipt.seconds,
        usage=usage_of(trajectory.calls),
        tool_calls=receipt.tool_calls,
        unsampled_calls=receipt.unsampled_calls,
        selection=selection,
    )
