"""Reads our own trace stores: rollouts of ``ec-agent eval`` and of recorded selections."""

from __future__ import annotations

from collections.abc import Iterator

from ec_agent.logs.base import Found, Reader
from ec_agent.logs.source import Source, Trouble
from ec_agent.traces.opening import LONGEST_HEAD, is_sqlite, open_store


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    with open_store(source.path) as store:
        for rollout in store.rollouts():
            key = rollout.key
            if key.kind == "greedy" or rollout.error is not None:
                continue  # the greedy baseline and failed rollouts are not candidates
            task = key.task if rollout.selection is None else f"{key.task} ({rollout.selection})"
            judged = rollout.verdict == rollout.verdict
            yield Found(f"{key.task}, {key}", rollout.trajectory, task, rollout.verdict if judged else None)


READER = Reader(
    knows=lambda source: is_sqlite(source.head(LONGEST_HEAD)),
    read=_read,
)
