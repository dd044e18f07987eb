"""When a calibration says nothing about a choice: the choice was made in another situation than those of the fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ec_agent.numbers.phases import HEPConfig
from ec_agent.probability.evidence import Evidence
from ec_agent.probability.fitted import Basis, FittedProbability
from ec_agent.stopping.base import StoppingPlan
from ec_agent.stopping.registry import plan_named
from ec_agent.stopping.spelling import settings_of, spelled
from ec_agent.support.number_formats import percent

COVERAGE_SLACK = 0.05
"""A winner may lack this much more of its tokens' signals than any winner of the fit did."""

LENGTH_RATIO = 2.0
"""A winner may be this many times as long as the longest winner of the fit, or as short as the shortest: see
``selectors.validity``. Beyond that it is another kind of task."""

WHAT_TO_DO = "fit one for this situation with `ec-agent calibrate --probability`"


@dataclass(frozen=True, slots=True)
class Situation:
    """How a choice was made.

    Attributes:
        selector: name of the selector that chose.
        config: settings of the High Entropy Phases.
        n: how many rollouts were planned.
        stop: the stopping plan, if any.
        failed: whether that selector chose in place of one that failed.
        cancel: whether rollouts were cancelled once enough was known.
        round: number of the round, from 0; 0 where no winner went on after an action.
        asks: whether the winner stopped to ask a person, or at a breakpoint.
        temperatures: sampling temperatures of the requests; empty where these carried none; ``None`` where no request
            is known.
    """

    selector: str
    n: int
    config: HEPConfig
    stop: StoppingPlan | None = None
    failed: bool = False
    cancel: bool = False
    round: int = 0
    asks: bool = False
    temperatures: tuple[float, ...] | None = None


def judged(fitted: FittedProbability, evidence: Evidence, situation: Situation) -> tuple[float | None, str | None]:
    """Return how likely the choice is right, or else why nobody can tell.

    Returns:
        ``(probability, None)`` or ``(None, why)``.
    """
    reasons = [*unlike(fitted.basis, situation), *_beyond(fitted, evidence)]
    probability = None if reasons else fitted.probability(evidence)
    if probability is None:
        return None, f"{'; '.join(reasons)}. For a probability, {WHAT_TO_DO}"
    return probability, None


def unlike(basis: Basis, situation: Situation) -> Iterator[str]:
    """Yield how the situation differs from that of the fit, as sentences without a full stop."""
    if situation.failed:
        yield f"the selector failed, and {situation.selector} chose in its place"
    elif situation.selector != basis.selector:
        yield f"it was fitted for the selector {basis.selector}, not for {situation.selector}"
    elif situation.config != basis.config:
        yield f"it was fitted with phases {_phases(basis.config)}, not {_phases(situation.config)}"
    if situation.n != basis.n:
        yield f"it was fitted with n={basis.n}, not n={situation.n}"
    if not _same_plan(basis.stop, situation.stop):
        fitted = _plan(None if basis.stop is None else plan_named(**basis.stop))
        yield f"it was fitted with {fitted}, not with {_plan(situation.stop)}"
    if situation.cancel:
        yield "with cancel=True those rollouts win that end first, and it was fitted without"
    if situation.round:
        yield f"this is round {situation.round + 1}, after an action, and it was fitted on first rounds"
    if situation.asks:
        yield "the winner asks a person or stopped at a breakpoint, so there is no answer yet that could be right"
    given = situation.temperatures
    if basis.temperature is not None and given is not None and set(given) != {basis.temperature}:
        here = ", ".join(f"{each:g}" for each in given) or "none at all"
        yield f"it was fitted at temperature {basis.temperature:g}, and the requests had {here}"


def _beyond(fitted: FittedProbability, evidence: Evidence) -> Iterator[str]:
    """Yield what the choice lacks, or has beyond what was seen in the fit."""
    basis = fitted.basis
    if evidence.score is None:
        yield "no rollout could be scored"
        return
    if evidence.agreement is None:
        yield "the winner has no answer that could be compared with the others'"
        return
    if evidence.scored < basis.scored:
        least = f"in each task of the fit at least {basis.scored} had"
        yield f"{evidence.scored} of its rollouts have a score; {least}"
    if basis.coverage is not None and (evidence.coverage or 0.0) < basis.coverage - COVERAGE_SLACK:
        share = "unknown" if evidence.coverage is None else percent(evidence.coverage)
        yield f"the winner's coverage is {share}; in the fit it was {percent(basis.coverage)} or more"
    if others := [name for name in evidence.models if basis.models and name not in basis.models]:
        yield f"it was fitted on answers of {', '.join(basis.models)}, not of {', '.join(others)}"
    for each in fitted.used:
        if getattr(evidence, each.name) is None:
            yield f"the winner's {each.name} is not known"
    lengths = next((each for each in fitted.features if each.name == "length"), None)
    if lengths is not None and evidence.length is not None:
        slack = math.log(LENGTH_RATIO)
        if not lengths.low - slack <= evidence.length <= lengths.high + slack:
            seen = f"{math.exp(lengths.low):.0f} to {math.exp(lengths.high):.0f}"
            yield f"the winner has {math.exp(evidence.length):.0f} tokens; in the fit winners had {seen}"


def _phases(config: HEPConfig) -> str:
    return "/".join(f"{value:g}" for value in asdict(config).values())


def _same_plan(fitted: Mapping[str, Any] | None, plan: StoppingPlan | None) -> bool:
    if fitted is None or plan is None:
        return fitted is None and plan is None
    return settings_of(plan) == dict(fitted)


def _plan(plan: StoppingPlan | None) -> str:
    return "no stopping plan" if plan is None else f"stop={spelled(plan)}"
