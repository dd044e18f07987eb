"""A stored run for the commands that read one: two calls a rollout, right where it is sure, some failed."""

from __future__ import annotations

import numpy as np

from ec_agent import Call, Trajectory
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.numbers.signals import SIGNALS
from ec_agent.traces.sql.store import TraceStore
from ec_agent.traces.stored import StoredRollout

TASKS = tuple(f"task {place}" for place in range(6))


def rollout(key, seed):
    """A rollout of two calls, right where it is sure; one in seven fails."""
    rng = np.random.default_rng(seed)
    sure = rng.random()
    failed = seed % 7 == 3
    calls = [
        Call(
            rng.random(tokens),
            signals={name: rng.random(tokens) + sure for name in SIGNALS if name != "entropy"},
            model="tiny-model",
        )
        for tokens in (20, 15 + seed % 9)
    ]
    return StoredRollout(
        key=key,
        seed=seed,
        sampling={"temperature": 0.8},
        trajectory=Trajectory(calls),
        final_action=None if failed else f"answer {seed % 3}",
        verdict=0.0 if failed else float(sure > 0.4),
        error="ValueError: <b>down</b>\nmore" if failed else None,
        started=0.0,
        seconds=0.5,
        usage={"prompt_tokens": 10, "cached_tokens": 0, "generated_tokens": 35},
    )


def stored_run(path, tasks=TASKS, skip=()):
    settings = RunSettings(n=3)
    with TraceStore(path, create=True) as store:
        store.begin({"agent": "mine:graph", **settings.lasting()}, dict.fromkeys(tasks, "same"))
        keys = [key for task in tasks for key in settings.keys(task) if task not in skip]
        for seed, key in enumerate(keys):
            store.add(rollout(key, seed))
    return path
