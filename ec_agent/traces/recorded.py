"""From what ``best_of_n`` leaves to what is stored of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ec_agent.errors import EcAgentError, TraceError, TraceWarning
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.record import usage_of
from ec_agent.rollouts.selection import CandidateReceipt, Selection
from ec_agent.rollouts.session import Listener, listener
from ec_agent.traces.stored import Key, StoredRollout

if TYPE_CHECKING:
    from ec_agent.traces.base import TraceStoreProtocol


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


def parts_of(result: Selected) -> tuple[Selection, list[tuple[CandidateReceipt, Trajectory, Any]]]:
    """A result's receipt, and of each candidate its line in it, its calls and its final action.

    Raises:
        TraceError: this is no such result.
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


@contextmanager
def recording(reopened: Callable[[], TraceStoreProtocol], *, name: str | None) -> Iterator[None]:
    """Record every selection that ends inside, in whichever thread; what cannot be written is a warning.

    Args:
        reopened: opens the store for the thread that a selection ends in.
        name: what to call the selections.
    """
    outer = listener.get()
    told = None if outer is None else outer.on_event

    def keep(selection: Selection, trajectories: Sequence[Trajectory], actions: Sequence[Any]) -> None:
        try:
            with reopened() as own:
                own.record(Left(selection, trajectories, actions), name=name)
        except Exception as error:  # the answer is there, and paid for
            why = str(error) if isinstance(error, EcAgentError) else f"{type(error).__name__}: {error}"
            warnings.warn(f"a selection was not recorded: {why}", TraceWarning, stacklevel=2)

    token = listener.set(Listener(told, on_left=keep))
    try:
        yield
    finally:
        listener.reset(token)


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
