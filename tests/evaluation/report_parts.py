"""Small evaluations for the tests of the report."""

from __future__ import annotations

import numpy as np
from stored_families import stored

from ec_agent import Call, Candidate, Trajectory
from ec_agent.evaluation.report.content import compare, selectors_in
from ec_agent.evaluation.report.run_facts import RunFacts
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling

FAST = Resampling(resamples=199)
THREE = "lowest_centroid,mean_logprob,majority_vote"
COSTS = {"model_calls": 9, "unsampled_calls": 0, "prompt_tokens": 1234, "generated_tokens": 567, "seconds": 8.9}


def family(name="red2", tasks=40, selectors=THREE, **more):
    return compare(stored(name)[:tasks], selectors=selectors_in(selectors), resampling=FAST, **more)


def task(name, logprobs, correct, errors=None, greedy=None, texts=None):
    """Rollouts of ten tokens and one call; each of one logprob."""
    errors, texts = errors or {}, texts or {}
    group = tuple(
        Candidate(
            index,
            Trajectory([Call(np.linspace(0.1, 1.0, 10), signals={"logprob": np.full(10, value)})]),
            final_action=texts.get(index, f"answer {index}"),
            error=errors.get(index),
        )
        for index, value in enumerate(logprobs)
    )
    return TaskResult(name, group, np.array(correct, dtype=float), greedy)


def small(results, selectors="mean_logprob", **more):
    return compare(results, selectors=selectors_in(selectors), resampling=FAST, **more)


def facts(**changes):
    usual = {
        "file": "run.db",
        "settings": {"agent": "mine:graph", "n": 2, "temperature": 0.8, "seed": 3},
        "models": ("small-model",),
        "tasks": 2,
        "costs": COSTS,
        "failures": {},
    }
    return RunFacts(**{**usual, **changes})
