"""Rollouts to be stored, with something in every field, and the evaluation that they are of."""

from __future__ import annotations

import dataclasses

import numpy as np
from langchain_core.messages import AIMessage

from ec_agent.numbers.trajectory import Call, ToolUse, Trajectory
from ec_agent.traces.stored import Key, StoredRollout

SETTINGS = {"n": 2, "seed": 0, "greedy": False}
TASKS = {"b": "mark b", "a": "mark a"}
FULL = Trajectory(
    [
        Call(
            np.array([0.1, np.nan, 1 / 3]),
            tokens=4,
            signals={"surprisal": np.array([1 / 3, 0.5])},
            model="m",
            node="n",
            started=1.5,
            ended=2.5,
            prompt_tokens=7,
            cached_tokens=3,
            texts=("a", "\ud83d", "é", ""),
            capability="sampled",
            partial=True,
            constrained=True,
            tools=(ToolUse("look", "{}", None, "no"),),
            candidates=((("a", 0.75), ("b", 0.25)), ()),
            from_cache=True,
            unplaced=1,
            beside=4,
        ),
        Call([]),  # one that reported nothing
        Call([0.25]),
    ]
)


def rollout(task="a", number=0, trajectory=FULL, kind="sample", **more):
    plain = StoredRollout(
        key=Key(task, kind, number),
        seed=5,
        sampling={"seed": 5, "temperature": 0.8},
        trajectory=trajectory,
        final_action=AIMessage("done", id="x"),
        verdict=0.5,
        error=None,
        started=10.0,
        seconds=1.25,
        usage={"prompt_tokens": 7, "cached_tokens": 3, "generated_tokens": 5},
        tool_calls=2,
        unsampled_calls=1,
    )
    return dataclasses.replace(plain, **more)
