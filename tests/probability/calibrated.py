"""Calibrations made by hand, and rollouts whose evidence is known, for the tests of this room and of the rollouts'."""

from __future__ import annotations

import math

import numpy as np

from ec_agent import Call, Candidate, HEPConfig, Trajectory
from ec_agent.probability import FittedProbability
from ec_agent.probability.fitted import Basis, Feature

RANGES = {
    "score": (0.0, 1.0),
    "margin": (0.0, 1.0),
    "agreement": (0.0, 1.0),
    "coverage": (0.0, 1.0),
    "length": (math.log(5), math.log(50)),
}


def basis(**changes):
    usual = {"selector": "majority_vote", "n": 4, "tasks": 40, "right": 0.7, "run": "run.db", "fitted": "2026-01-02"}
    return Basis(**{**usual, "config": HEPConfig(), **changes})


def platt(weights=None, intercept=-3.0, ranges=None, **changes):
    """Log odds of -3 + 6 * agreement, unless weights say otherwise: .5 where half of the rollouts agree."""
    weights = {"agreement": 6.0} if weights is None else weights
    where = {**RANGES, **(ranges or {})}
    known = tuple(Feature(name, *where[name], weights.get(name, 0.0)) for name in RANGES if name in weights)
    known += (Feature("length", *where["length"]),) if "length" not in weights else ()
    return FittedProbability("platt", known, basis(**changes), intercept)


def isotonic(knots=((0.25, 0.1), (0.5, 0.5), (1.0, 0.9)), feature="agreement", **changes):
    return FittedProbability("isotonic", (Feature(feature, *RANGES[feature]),), basis(**changes), knots=knots)


def candidate(index, answer, *, entropy=0.5, tokens=10, missing=0, error=None, model=None):
    """A rollout of one call, the first tokens of which have no entropy."""
    values = np.full(tokens, entropy)
    values[:missing] = np.nan
    timeline = Trajectory([Call(values, model=model, signals={"logprob": -values})])
    return Candidate(index, timeline, answer, error=error)


def candidates(answers, **each):
    """A rollout a letter; ``!`` failed."""
    return [
        candidate(index, None if letter == "!" else letter, error="E: x" if letter == "!" else None, **each)
        for index, letter in enumerate(answers)
    ]
