"""Merges trace stores: the shards of an evaluation that ran on several machines, and recorded selections.

A rollout of the run is known by its key, a selection by its name and the moment at which it was recorded. What is in
the target already is left there, so merging again adds nothing. If two stores have different content under one key,
nothing is merged.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ec_agent.errors import TraceError
from ec_agent.numbers.call_fields import pack_calls
from ec_agent.traces.actions import action_to_json
from ec_agent.traces.base import TraceStoreProtocol
from ec_agent.traces.run_differences import see_same_run
from ec_agent.traces.stored import AGENT_CHANGES, COSTS, Asked, Key, StoredRollout, StoredSelection

_MOST_NAMED = 5

_SelectionKey = tuple[str | None, float]


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging came to.

    Attributes:
        rollouts: rollouts of the run that were added.
        selections: recorded selections that were added.
        there: rollouts and selections that the target had already, or that several stores had.
        retried: costs by the names in ``COSTS`` of failed rollouts that were run again, as far as the stores know
            them. Their rollouts are gone, so these costs are not in the target.
    """

    rollouts: int
    selections: int
    there: int
    retried: Mapping[str, float]


@dataclass(slots=True)
class _Found:
    """What was found under the keys of several stores.

    Attributes:
        marks: the mark of the content under a key, and the store that it was found in first.
        differing: sentences about keys under which stores have different content.
    """

    marks: dict[Any, tuple[str, str]] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)

    def see(self, key: Any, mark: str, store: str, what: str) -> None:
        first = self.marks.setdefault(key, (mark, store))
        if first[0] != mark:
            self.differing.append(f"{what} is another one in {store} than in {first[1]}")


def merge(sources: Sequence[TraceStoreProtocol], into: TraceStoreProtocol, *, keep_first: bool = False) -> Merged:
    """Add what is in several stores to one.

    Args:
        sources: the stores. Those that hold a run must hold the same: equal settings, and equal tasks in the same
            order.
        into: the target. It may hold part of it already.
        keep_first: of rollouts and selections that differ under one key, keep that of the target, or else of the store
            that is named first. Without, they are an error.

    Raises:
        TraceError: stores hold different runs, or different content under one key; then nothing was written. Or a store
            cannot be read or written.
    """
    keys = [store.keys() for store in sources]
    there = into.keys()
    run = _one_run([into, *sources])
    found = _Found()
    _see_rollouts([into, *sources], [there, *keys], found)
    known = _see_selections([into, *sources], found)
    if found.differing and not keep_first:
        shown = "\n".join(f"  {line}" for line in found.differing[:_MOST_NAMED])
        more = f"\n  and {len(found.differing) - _MOST_NAMED} more" if len(found.differing) > _MOST_NAMED else ""
        raise TraceError(
            f"nothing was merged into {into.name}, for the stores differ:\n{shown}{more}\nLeave one of these stores "
            "out, or keep what is in the target or in the store named first: --keep-first, keep_first=True in Python"
        )
    if run is not None:
        _begin(into, *run)
    rollouts = sum(
        into.add(rollout) for store, own in zip(sources, keys, strict=True) for rollout in _new(store, own, there)
    )
    selections = _take_selections(sources, into, known)
    offered = sum(map(len, keys)) + sum(known.values())
    return Merged(rollouts, selections, offered - rollouts - selections, _retried(sources))


def _one_run(
    stores: Sequence[TraceStoreProtocol],
) -> tuple[dict[str, Any], dict[str, str], dict[str, Asked]] | None:
    """Return the settings, the tasks and their questions, which all stores with a run must have in common."""
    settings: dict[str, Any] = {}
    tasks: dict[str, str] = {}
    asked: dict[str, Asked] = {}
    changes: list[Any] = []
    first = ""
    for store in stores:
        if not (here := store.settings()):
            continue
        changes += [each for each in here.pop(AGENT_CHANGES, []) if each not in changes]
        own = store.tasks()
        if not first:
            first, settings, tasks = store.name, here, own
        elif list(own) != list(tasks) and own == tasks:
            raise TraceError(
                f"{store.name} has the tasks of {first} in another order; give every machine the same tasks"
            )
        else:
            advice = f"That is the one in {store.name}: merge stores of one run only"
            see_same_run(first, (settings, tasks), (here, own), advice)
        asked |= {task: each for task, each in store.asked().items() if asked.get(task, Asked()) == Asked()}
    if not first:
        return None
    return settings | ({AGENT_CHANGES: changes} if changes else {}), tasks, asked


def _begin(into: TraceStoreProtocol, settings: dict[str, Any], tasks: dict[str, str], asked: dict[str, Asked]) -> None:
    there = into.settings()
    changes = settings.pop(AGENT_CHANGES, None)
    kept = {AGENT_CHANGES: there[AGENT_CHANGES]} if AGENT_CHANGES in there else {}
    into.begin({**settings, **kept}, tasks, asked)
    if changes is not None and changes != there.get(AGENT_CHANGES):
        into.amend({AGENT_CHANGES: changes})


def _see_rollouts(stores: Sequence[TraceStoreProtocol], keys: Sequence[set[Key]], found: _Found) -> None:
    """Compare the rollouts that several stores have. Only these are read."""
    counts = Counter(key for own in keys for key in own)
    doubled = {key for key, count in counts.items() if count > 1}
    for store, own in zip(stores, keys, strict=True):
        for rollout in _of(store, own & doubled):
            found.see(rollout.key, _mark_of(rollout), store.name, f"task {rollout.key.task!r}, {rollout.key}")


def _see_selections(stores: Sequence[TraceStoreProtocol], found: _Found) -> Counter[_SelectionKey]:
    """Compare the selections that several stores have. Return how often each occurs in the stores but the first."""
    known: Counter[_SelectionKey] = Counter()
    for store in stores:
        for kept in store.selections():
            key, mark = _key_of(kept), _digest(json.dumps(kept.receipt.to_dict(), sort_keys=True, default=repr))
            found.see(key, mark, store.name, f"the selection {kept.label!r}, recorded at {kept.recorded:f},")
            known[key] += store is not stores[0]
    return known


def _take_selections(
    sources: Sequence[TraceStoreProtocol], into: TraceStoreProtocol, known: Counter[_SelectionKey]
) -> int:
    there = {_key_of(kept) for kept in into.selections()}
    taken = 0
    for store in sources:
        for kept in store.selections():
            if (key := _key_of(kept)) in there:
                continue
            into.take(kept, store.rollouts(selection=kept.id))
            there.add(key)
            taken += 1
    return taken


def _key_of(kept: StoredSelection) -> _SelectionKey:
    return None if kept.name is None else _plain(kept.name), kept.recorded


def _new(store: TraceStoreProtocol, own: set[Key], there: set[Key]) -> Iterable[StoredRollout]:
    """Yield the rollouts of a store that are not in the target, and note that they are there now."""
    for rollout in _of(store, own - there):
        yield rollout
        there.add(rollout.key)


def _of(store: TraceStoreProtocol, keys: set[Key]) -> Iterable[StoredRollout]:
    """Yield the rollouts of the run with these keys, one in memory at a time."""
    for task, kind in sorted({(key.task, key.kind) for key in keys}):
        for rollout in store.rollouts(task, kind):
            if rollout.key in keys:
                yield rollout


def _mark_of(rollout: StoredRollout) -> str:
    """Return what is equal for equal rollouts, in whichever kind of store they are."""
    calls = [
        {name: _plain(value) if isinstance(value, str) else value for name, value in call.items()}
        for call in pack_calls(rollout.trajectory)
    ]
    verdict = None if rollout.verdict != rollout.verdict else rollout.verdict
    error = None if rollout.error is None else _plain(rollout.error)
    about = (
        rollout.seed,
        dict(rollout.sampling),
        verdict,
        error,
        rollout.started,
        rollout.seconds,
        dict(rollout.usage),
    )
    said = (action_to_json(rollout.final_action), rollout.tool_calls, rollout.unsampled_calls)
    return _digest(repr((about, said, calls)))


def _plain(text: str) -> str:
    """Return a text as every store has it; PostgreSQL cannot hold the character 0."""
    return text.replace("\0", "\\x00")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _retried(stores: Sequence[TraceStoreProtocol]) -> dict[str, float]:
    """Return the costs of rollouts that were deleted to run again: those of the run without those of its rollouts."""
    lost = dict.fromkeys(COSTS, 0.0)
    for store in stores:
        kept = store.totals()
        for name, cost in store.costs().items():
            lost[name] += max(cost - sum(getattr(each, name) for each in kept), 0.0)
    return lost
