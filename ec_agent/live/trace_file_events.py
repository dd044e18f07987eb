"""The rollouts of a trace file as the events that they would have been: an evaluation in another process, followed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ec_agent.errors import TraceError
from ec_agent.rollouts.progress import means
from ec_agent.traces.opening import open_store
from ec_agent.traces.stored import Key, StoredRollout

EVERY = 1.0  # seconds between looks at the file

Event = Mapping[str, Any]


def label_of(key: Key) -> str:
    """What to call a rollout of an evaluation."""
    return f"{key.task} greedy" if key.kind == "greedy" else f"{key.task} #{key.number}"


def events_of(rollout: StoredRollout) -> Iterator[Event]:
    """What a stored rollout would have told while it ran."""
    about = {"index": rollout.key.number, "label": label_of(rollout.key)}
    end = rollout.started + rollout.seconds
    yield {"type": "ec_agent.rollout.started", **about, "time": rollout.started}
    tokens = 0
    for place, call in enumerate(rollout.trajectory.calls):
        tokens += call.generated
        seconds = call.ended - call.started if call.started is not None and call.ended is not None else None
        counts = {"calls": place + 1, "tokens": tokens, "generated": call.tokens, "seconds": seconds}
        made = {"call": place, "model": call.model, "node": call.node, "entropies": means(call.entropies)}
        said = {"state": "ended", "answered": True, **counts, **made, "time": call.ended or end}
        yield {"type": "ec_agent.rollout.call", **about, **said}
    finished = {"error": rollout.error, "seconds": rollout.seconds}
    yield {"type": "ec_agent.rollout.finished", **about, **finished, "time": end}
    if rollout.error is None:
        yield {"type": "ec_agent.rollout.judged", **about, "verdict": rollout.verdict, "time": end}


def stored_events(path: Path | str, *, follow: bool) -> Iterator[Event | None]:
    """The rollouts that are in a trace file, and those that come.

    Args:
        path: the file that an evaluation writes.
        follow: wait for more until every rollout is there.

    Yields:
        Events, and ``None`` where there are no more for now.

    Raises:
        TraceError: the file is missing, is no trace file, or holds recorded selections rather than an evaluation.
    """
    seen: set[Key] = set()
    with open_store(path) as store:
        while True:
            settings, tasks = store.settings(), store.tasks()
            if not settings and next(store.selections(), None) is not None:
                raise TraceError(
                    f"{store.name} holds recorded selections, which are over; `ec-agent traces ls` lists them, and "
                    "only an evaluation's file can be watched"
                )
            total = len(tasks) * (settings["n"] + bool(settings["greedy"])) if settings else 0
            new = store.keys() - seen
            rollouts = [
                rollout
                for task, kind in sorted({(key.task, key.kind) for key in new})
                for rollout in store.rollouts(task, kind)
                if rollout.key in new
            ]
            for rollout in sorted(rollouts, key=lambda each: each.started + each.seconds):
                yield from events_of(rollout)
            seen |= new
            if new or not seen:
                yield {"type": "ec_agent.evaluation", "stored": len(seen), "total": total, "time": time.time()}
            if not follow or (total and len(seen) >= total):
                return
            yield None
            time.sleep(EVERY)
