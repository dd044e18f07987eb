"""Reads ``entropy_results.jsonl`` (or ``.json``, an array of the same records) of the method's reference code.

Each record is a rollout. ``entropy_sequence`` has the ``entropy`` of each token, in nats, or ``null``. ``id`` is its
name, ``original_id`` its task, and ``reward`` (tau2-bench) its outcome. The records do not say where an LLM call ends,
so each rollout is read as one call. If the probabilities of all candidates of a token underflowed, that code wrote the
entropy 0, as if the model had been sure; this cannot be recognised.

If a run of that code was resumed, an id may occur twice. Its own tools use the last record.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import isfinite
from typing import Any

from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.source import Source, Trouble, first_keys, values
from ec_agent.numbers.trajectory import Trajectory

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
        record=record,
    )


READER = Reader(
    # This key comes after the answer's text and tokens, so many bytes are read. Only the number of keys is limited.
    knows=lambda source: _ENTROPIES in itertools.islice(first_keys(source), 100),
    read=_read,
)
