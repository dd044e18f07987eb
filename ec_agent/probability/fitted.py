"""A fitted calibration: plain numbers in a settings file, and what they make of a choice. NumPy alone applies it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.numbers.phases import HEPConfig
from ec_agent.probability.evidence import FEATURES, Evidence
from ec_agent.stopping.registry import plan_named
from ec_agent.support.checks import (
    checked,
    instance,
    json_mapping,
    mapping,
    number,
    one_of,
    or_none,
    several,
    share,
    text,
    whole,
)
from ec_agent.support.from_plain import PlainError, made

VERSION = 1
"""Of what the features mean. A file of another version is refused, for its numbers would mean something else."""

Form = Literal["platt", "isotonic"]
_FIT = "fit it again with `ec-agent calibrate --probability`"


@dataclass(frozen=True, slots=True)
class Feature:
    """One number that a probability is made of.

    Attributes:
        name: one of ``FEATURES``.
        low: the smallest value among the tasks of the fit. A smaller one counts as this.
        high: the largest. A larger one counts as this, also ``inf``: a margin without a rival.
        weight: of Platt scaling: by how much the log odds rise as the value rises by one.

    Raises:
        ConfigError: there is no such feature, or a value is no finite number.
    """

    name: str
    low: float
    high: float
    weight: float = 0.0

    def __post_init__(self) -> None:
        one_of("the name of a feature", self.name, FEATURES)
        for name in ("low", "high", "weight"):
            checked(self, name, number, f"a finite number for the feature {self.name}")
        if self.low > self.high:
            raise ConfigError(f"low is {self.low} and high {self.high}, for the feature {self.name}; {_FIT}")


@dataclass(frozen=True, slots=True)
class Basis:
    """What a calibration rests on. A choice in another situation has no probability (``situation``).

    Attributes:
        selector: name of the selector that chose.
        n: rollouts of each task.
        tasks: how many tasks it was fitted on.
        right: mean verdict of their winners, 0 to 1.
        scored: the fewest rollouts of a task that had a score.
        config: settings of the High Entropy Phases.
        stop: the stopping plan with which the tasks were replayed, as plain JSON; ``None`` without one.
        coverage: the smallest coverage of a winner; ``None`` where the selector reads no signal.
        models: names of the models that answered.
        temperature: sampling temperature of the rollouts, where their requests carried it.
        run: name of the file of stored rollouts.
        agent: name of the agent that made them.
        fitted: when it was fitted: ISO 8601, UTC.
        expected: what it is worth on tasks that it was not fitted on: ``brier``, ``brier_minus_constant`` and ``ece``,
            each as value, lower and upper end.

    Raises:
        ConfigError: a value has another type, or is out of range.
    """

    selector: str
    n: int
    tasks: int
    right: float
    scored: int = 1
    config: HEPConfig = field(default_factory=HEPConfig)
    stop: Mapping[str, Any] | None = None
    coverage: float | None = None
    models: tuple[str, ...] = ()
    temperature: float | None = None
    run: str = ""
    agent: str = ""
    fitted: str = ""
    expected: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text("selector", self.selector)
        checked(self, "n", whole)
        checked(self, "tasks", whole)
        checked(self, "right", share)
        checked(self, "scored", whole, 1, self.n)
        instance("config", self.config, HEPConfig, "HEPConfig(...)")
        or_none("stop", self.stop, json_mapping)
        if self.stop is not None:
            plan_named(**{"name": "", **self.stop})  # refused here, not after rollouts are paid for
        checked(self, "coverage", or_none, share)
        checked(self, "models", several, str, "a list of names")
        checked(self, "temperature", or_none, number, "a temperature of at least 0, or None", least=0)
        for name in ("run", "agent", "fitted"):
            text(name, getattr(self, name), empty=True)
        json_mapping("expected", self.expected)

    def told(self) -> dict[str, Any]:
        """Return what receipts say of it, as plain JSON."""
        names = ("tasks", "right", "selector", "n", "stop", "models", "temperature", "run", "agent", "fitted")
        plain = {name: getattr(self, name) for name in names}
        return {**plain, "models": list(self.models), "expected": dict(self.expected)}


@dataclass(frozen=True, slots=True)
class FittedProbability:
    """How likely a choice is right, as fitted on tasks with verdicts. ``best_of_n(probability=...)`` takes it.

    ``ec-agent calibrate --probability`` fits it and writes it into a settings file; ``load_settings`` reads it.

    Attributes:
        form: ``"platt"``: a logistic regression over all features; ``"isotonic"``: steps that rise, or fall, with the
            first feature.
        features: the numbers that were known of every task of the fit, with their ranges; see ``used``.
        basis: what it rests on.
        intercept: of Platt scaling: the log odds where all features are 0.
        knots: of isotonic regression: pairs of a value and its probability, by rising value. In between the probability
            is interpolated.

    Raises:
        ConfigError: a value has another type, or the numbers do not go together.
    """

    form: Form
    features: tuple[Feature, ...]
    basis: Basis
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        one_of("form", self.form, get_args(Form))
        checked(self, "features", several, Feature, "a list of Feature(...) objects")
        instance("basis", self.basis, Basis, "Basis(...)")
        checked(self, "intercept", number, "a finite number")
        checked(self, "knots", several, (tuple, list), "a list of pairs of numbers")
        if not self.features or len({each.name for each in self.features}) < len(self.features):
            raise ConfigError(f"features has none, or one twice; {_FIT}")
        if (self.form == "isotonic") != bool(self.knots):
            raise ConfigError(f"knots is {self.knots!r}, and form is {self.form!r}; give knots to isotonic alone")
        for pair in self.knots:
            if len(pair) != 2:
                raise ConfigError(f"knots has {pair!r}; give pairs of a value and its probability")
            number("a value in knots", pair[0], "a finite number")
            share("a probability in knots", pair[1])
        if any(after[0] <= before[0] for before, after in pairwise(self.knots)):
            raise ConfigError(f"the values in knots do not rise; {_FIT}")

    @property
    def used(self) -> tuple[Feature, ...]:
        """The features that the probability is made of: those that have a weight, or that the knots are of."""
        return self.features[:1] if self.form == "isotonic" else tuple(each for each in self.features if each.weight)

    def probability(self, evidence: Evidence) -> float | None:
        """Return how likely the choice is right, in (0, 1); ``None`` if one of the features used is not known.

        Whether the situation is that of the fit is not looked at here: see ``situation.why_none``.
        """
        instance("evidence", evidence, Evidence, "what evidence_of(...) returned")
        given = [getattr(evidence, each.name) for each in self.used]
        if any(value is None for value in given):
            return None
        values = [min(max(float(value), each.low), each.high) for each, value in zip(self.used, given, strict=True)]
        if self.form == "isotonic":
            at, heights = np.array(self.knots).T
            return float(np.interp(values[0], at, heights))
        odds = self.intercept + math.fsum(each.weight * value for each, value in zip(self.used, values, strict=True))
        return float(1.0 / (1.0 + np.exp(-odds))) if odds >= 0 else float(np.exp(odds) / (1.0 + np.exp(odds)))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON, for a settings file."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> FittedProbability:
        """Read back what ``to_dict`` made. Every field is checked, for it may come from any file.

        Raises:
            ConfigError: it is of another version, or a field is missing, unknown, or has a value it cannot have.
        """
        given = dict(mapping("probability", plain, "what FittedProbability.to_dict() made"))
        version = given.pop("version", None)
        if version != VERSION:
            raise ConfigError(f"probability is of version {version!r}, and this package reads {VERSION}; {_FIT}")
        try:
            return made(cls, given, "probability")
        except (PlainError, RecursionError) as error:
            raise ConfigError(f"{error}; {_FIT}") from error
