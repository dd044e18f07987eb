"""Making room: which recorded selections, or which of their rollouts, are to go. An evaluation's rollouts never are."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ec_agent.traces.base import TraceStoreProtocol


@dataclass(frozen=True, slots=True)
class Prunable:
    """What would go.

    Attributes:
        rollouts: ids.
        selections: how many selections go whole.
        thinned: how many lose rollouts and keep their receipt and winner.
        tokens: generated tokens of the rollouts that go.
    """

    rollouts: tuple[int, ...]
    selections: int
    thinned: int
    tokens: int


def prunable(
    store: TraceStoreProtocol, *, keep: int | None = None, older_than: float | None = None, losers: bool = False
) -> Prunable:
    """What fits all that is asked for.

    Args:
        store: where to look.
        keep: spare the latest so many selections.
        older_than: spare what was recorded less than so many seconds ago.
        losers: spare receipts and winners.
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
    """Take it out of the store and give the room back to the disk; how many rollouts went.

    Raises:
        TraceError: the store cannot be written.
    """
    gone = store.forget(what.rollouts)
    store.compact()
    return gone
