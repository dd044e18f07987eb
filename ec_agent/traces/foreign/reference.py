"""``entropy_results.jsonl``, and the ``.json`` array of the same, of the method's reference code.

A record is a rollout: ``entropy_sequence`` has an ``entropy`` for each token, in nats, ``null`` where there is none;
``id`` names it, ``original_id`` its task, ``reward`` (tau2-bench) says how it ended. Its turns are not marked, so it is
one call. A token whose candidates all underflow has the entropy 0 there, which cannot be told from certainty.

Where a run of that code was resumed, an id may come twice; its own tools keep the last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import isfinite
from typing import Any

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.traces.foreign.base import ODD, Found, Reader
from ec_agent.traces.foreign.source import Source, Trouble, first_keys, values

_ENTROPIES = "entropy_sequence"


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    for place, (where, record, _) in enumerate(values(source, trouble)):
        try:
            yield _rollout(record, place)
        except ODD as error:
            trouble(where, f"has no {_ENTROPIES!r} that can be read ({type(error).__name__}: {error})")


def _rollout(record: Any, place: int) -> Found:
    entropies = [token["entropy"] for token in record[_ENTROPIES]]
    task, reward = record.get("original_id"), record.get("reward")
    return Found(
        name=str(record.get("id", place)),
        trajectory=Trajectory.from_entropies(entropies),
        task=None if task is None else str(task),
        outcome=float(reward) if isinstance(reward, int | float) and isfinite(reward) else None,
    )


READER = Reader(
    name="reference",
    looks="entropy_results.jsonl (or .json) of the method's reference code",
    # The key stands behind the answer's text and tokens: only their number is bounded.
    knows=lambda source: _ENTROPIES in itertools.islice(first_keys(source), 100),
    read=_read,
)
