"""Ratios between things that run in turns: what is compared, how it is timed, what is kept of it.

    def cases():
        rows = drawn_rows(2000)
        yield Case(
            "matrix, 2k tokens",
            {"baseline": lambda: slow(rows), "ours": lambda: fast(rows)},
            [at_least("baseline", "ours", 80)],
        )

A machine's speed drifts, and other processes take their share of it. So no time is ever a result here: each round
runs every arm once, in turns, and gives one ratio; the medians and quartiles of these ratios are the results.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

Arm = Callable[[], Any]
Gauge = Callable[[Arm], float]

SHORTEST = 0.004
"""Seconds that a timed stretch takes at least: an arm that is quicker is repeated in it."""


def cpu_seconds(arm: Arm) -> float:
    """CPU time of this process for one run of the arm: what other processes do beside it hardly shows."""
    return _timed(arm, time.process_time)


def wall_seconds(arm: Arm) -> float:
    """Time that passes during one run of the arm: for arms whose work is done by other processes."""
    return _timed(arm, time.perf_counter)


def value(arm: Arm) -> float:
    """What the arm returns: for arms that measure something themselves, such as bytes."""
    return float(arm())


def _timed(arm: Arm, clock: Callable[[], float]) -> float:
    repeats = 1
    while True:
        before = clock()
        for _ in range(repeats):
            arm()
        taken = clock() - before
        if taken >= SHORTEST:
            return taken / repeats
        repeats = max(repeats * 2, int(repeats * SHORTEST / max(taken, SHORTEST / 20)) + 1)


@dataclass(frozen=True, slots=True)
class Claim:
    """How the measures of two arms are to relate.

    Attributes:
        over: the arm above the line of the ratio.
        under: the arm below it.
        goal: the ratio to reach.
        least: the ratio is to be at least the goal, else at most.
    """

    over: str
    under: str
    goal: float
    least: bool


def at_least(over: str, under: str, goal: float) -> Claim:
    """``over`` takes at least ``goal`` times what ``under`` takes: how much faster ``under`` is."""
    return Claim(over, under, goal, least=True)


def at_most(over: str, under: str, goal: float) -> Claim:
    """``over`` takes at most ``goal`` times what ``under`` takes: how much it adds to it."""
    return Claim(over, under, goal, least=False)


@dataclass(frozen=True, slots=True)
class Case:
    """Arms that run in turns, and what is claimed of their ratios.

    Attributes:
        name: what the table calls it.
        arms: name -> what is measured. The names are what the table calls them.
        claims: what the ratios are to reach; may be empty, then the measures alone are reported.
        gauge: how an arm is measured.
        unit: what the gauge gives: ``"s"``, or ``"bytes"``, say.
        rounds: how many rounds there are.
        seconds: after so many seconds no round starts any more, once there were three.
        per: tokens of one run, for the measures per token; 0 where that means nothing.
        times: by how much the measure of an arm is multiplied, where it does a part of the work only; 1 unless told.
    """

    name: str
    arms: Mapping[str, Arm]
    claims: Sequence[Claim] = ()
    gauge: Gauge = cpu_seconds
    unit: str = "s"
    rounds: int = 15
    seconds: float = 20.0
    per: int = 0
    times: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one value per round."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A claim and the ratio that was measured."""

    claim: Claim
    ratio: Spread

    @property
    def reached(self) -> bool:
        """Whether the median reaches the goal."""
        return self.ratio.median >= self.claim.goal if self.claim.least else self.ratio.median <= self.claim.goal


@dataclass(frozen=True, slots=True)
class Result:
    """What one case gave: each arm's measure, and the ratios claimed."""

    case: Case
    rounds: int
    measures: Mapping[str, Spread]
    outcomes: Sequence[Outcome]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON."""
        return {
            "name": self.case.name,
            "rounds": self.rounds,
            "unit": self.case.unit,
            "tokens": self.case.per,
            "arms": {name: _plain(spread) for name, spread in self.measures.items()},
            "claims": [
                {
                    "ratio": f"{outcome.claim.over} / {outcome.claim.under}",
                    **_plain(outcome.ratio),
                    "at_least" if outcome.claim.least else "at_most": outcome.claim.goal,
                    "reached": outcome.reached,
                }
                for outcome in self.outcomes
            ],
        }


def _plain(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "low": spread.low, "high": spread.high}


def run(case: Case) -> Result:
    """Run the arms in turns, each round in the opposite order of the one before."""
    for arm in case.arms.values():
        arm()  # what the first run alone pays for is no part of the comparison
    started = time.monotonic()
    measured: dict[str, list[float]] = {name: [] for name in case.arms}
    for number in range(case.rounds):
        if number >= 3 and time.monotonic() - started > case.seconds:
            break
        gc.collect()
        for name in _turns(case.arms, number):
            measured[name].append(case.gauge(case.arms[name]) * case.times.get(name, 1))
    outcomes = [Outcome(claim, Spread.of(_ratios(measured, claim))) for claim in case.claims]
    rounds = len(next(iter(measured.values())))
    return Result(case, rounds, {name: Spread.of(values) for name, values in measured.items()}, outcomes)


def _turns(arms: Mapping[str, Arm], number: int) -> Iterator[str]:
    return iter(arms) if number % 2 == 0 else reversed(list(arms))


def _ratios(measured: Mapping[str, Sequence[float]], claim: Claim) -> list[float]:
    pairs = zip(measured[claim.over], measured[claim.under], strict=True)
    return [over / under for over, under in pairs]
