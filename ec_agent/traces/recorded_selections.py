"""Records selections of ``best_of_n``: takes them over when they end, and turns them into what a store keeps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ec_agent.errors import EcAgentError, TraceError, TraceWarning
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.observer import Chosen, Observer
from ec_agent.rollouts.observing import Installed, observed
from ec_agent.rollouts.record import usage_of
from ec_agent.rollouts.selection import CandidateReceipt, Selection
from ec_agent.traces.stored import Key, StoredRollout

if TYPE_CHECKING:
    from ec_agent.traces.base import TraceStoreProtocol


class Selected(Protocol):
    """What can be recorded: a ``BestOfNResult``, or any object with these three attributes of one."""

    @property
    def selection(self) -> Selection: ...  # noqa: D102  # see BestOfNResult

    @property
    def trajectories(self) -> Sequence[Trajectory]: ...  # noqa: D102  # see BestOfNResult

    @property
    def final_actions(self) -> Sequence[Any]: ...  # noqa: D102  # see BestOfNResult


def parts_of(result: Selected) -> tuple[Selection, list[tuple[CandidateReceipt, Trajectory, Any]]]:
    """Split the result of a question into its receipt and its candidates.

    Returns:
        The receipt; and for each candidate its line in the receipt, its LLM calls and its final action.

    Raises:
        TraceError: the object is not such a result.
    """
    try:
        receipt, calls, actions = result.selection, list(result.trajectories), list(result.final_actions)
        if not len(calls) == len(actions) >= len(receipt.candidates):
            raise ValueError(f"{len(receipt.candidates)} candidates, {len(calls)} timelines, {len(actions)} actions")
        return receipt, [(each, calls[each.index], actions[each.index]) for each in receipt.candidates]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise TraceError(
            f"cannot record {type(result).__name__} ({error}); give what best_of_n(...).run(...) returned"
        ) from error


class Recording(Observer):
    """Writes each selection into a store when its question is over. If that fails, it warns.

    Args:
        reopened: opens the store for the thread that a question ends in.
        name: what to call the selections.
    """

    def __init__(self, reopened: Callable[[], TraceStoreProtocol], name: str | None) -> None:
        self._reopened, self._name = reopened, name

    def question_over(self, chosen: Chosen) -> None:
        """Keep it."""
        try:
            with self._reopened() as own:
                own.record(chosen, name=self._name)
        except Exception as error:  # the answer is there, and paid for
            why = str(error) if isinstance(error, EcAgentError) else f"{type(error).__name__}: {error}"
            warnings.warn(f"a selection was not recorded: {why}", TraceWarning, stacklevel=2)


def recording(reopened: Callable[[], TraceStoreProtocol], *, name: str | None) -> AbstractContextManager[None]:
    """Record every selection that ends inside, in whichever thread; those of several stores are recorded in each.

    Args:
        reopened: opens the store for the thread that a selection ends in.
        name: what to call the selections.
    """
    return observed(Installed("recording", lambda _: Recording(reopened, name), key=reopened))


def candidate_of(
    selection: int, receipt: CandidateReceipt, trajectory: Trajectory, final_action: Any, now: float
) -> StoredRollout:
    """Turn one candidate of a recorded selection into what a store keeps.

    Args:
        selection: id of the selection in the store.
        receipt: the candidate's part of the receipt.
        trajectory: its LLM calls.
        final_action: its final action.
        now: seconds since the epoch, used as its start if it made no LLM call.
    """
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
