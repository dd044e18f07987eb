"""Frees disk space: finds recorded selections, or rollouts of them, to delete. Rollouts of an evaluation are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ec_agent.traces.base import TraceStoreProtocol


@dataclass(frozen=True, slots=True)
class Prunable:
    """What would be deleted.

    Attributes:
        rollouts: ids of the rollouts to delete.
        selections: how many selections would be deleted completely.
        thinned: how many selections would lose rollouts, but keep their receipt and winner.
        tokens: number of generated tokens of the rollouts to delete.
    """

    rollouts: tuple[int, ...]
    selections: int
    thinned: int
    tokens: int


def prunable(
    store: TraceStoreProtocol, *, keep: int | None = None, older_than: float | None = None, losers: bool = False
) -> Prunable:
    """Find what may be deleted from a store under all the conditions given.

    Args:
        store: the store.
        keep: keep this many of the latest selections.
        older_than: keep selections recorded less than this many seconds ago.
        losers: keep the receipt and the winner of each selection, and delete only the other rollouts.
    """
    selections = list(store.selections())
    if keep is not None:
        selections = selections[: max(len(selections) - keep, 0)]
    before = None if older_than is None else time.time() - older_than
    rollouts: list[int] = []
    tokens = touched = 0
    for kept in selections:
        if before is not None and kept.recorded >= before:
            continue
        going = [each for each in store.candidates(kept.id) if not (losers and each[1] == kept.receipt.winner)]
        rollouts += [rollout for rollout, _, _ in going]
        tokens += sum(generated for _, _, generated in going)
        touched += bool(going)
    return Prunable(tuple(rollouts), 0 if losers else touched, touched if losers else 0, tokens)


def prune(store: TraceStoreProtocol, what: Prunable) -> int:
    """Delete what ``prunable`` found, and give the disk space back. Return how many rollouts were deleted.

    Raises:
        TraceError: the store cannot be written.
    """
    gone = store.forget(what.rollouts)
    store.compact()
    return gone
