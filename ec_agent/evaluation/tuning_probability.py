"""Fitting how likely a choice is right, without fooling oneself: nested folds over whole tasks, on stored rollouts.

Each task is one choice: what it shows of itself (``ec_agent.probability.evidence``) and the verdict on its winner. How
to make a probability of that is chosen on the training tasks, by folds within them; what the whole procedure is worth
is measured on the tasks that were left out. scikit-learn fits; what is fitted is plain numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.bootstrap import ROUNDING, Estimate, Resampling, resampling_of
from ec_agent.evaluation.statistics.reliability import Reliability, reliability
from ec_agent.evaluation.statistics.standing import IntArray
from ec_agent.evaluation.tuning import drawn_folds, tunable
from ec_agent.numbers.entropy import FloatArray
from ec_agent.probability.evidence import FEATURES, Evidence, replayed_evidence
from ec_agent.probability.fitted import Basis, Feature, FittedProbability, Form
from ec_agent.rollouts.settings_files import Setting
from ec_agent.selectors import Selector
from ec_agent.selectors.registry import check_selector
from ec_agent.stopping import StoppingPlan
from ec_agent.stopping.asking import check_plan
from ec_agent.stopping.spelling import settings_of, spelled
from ec_agent.support.checks import instance, or_none
from ec_agent.support.lazy import needed
from ec_agent.traces.opening import open_store
from ec_agent.traces.places import short_name

LEAST_TASKS = 20
"""Tasks with a score, below which nothing is fitted."""
LEAST_EACH = 5
"""Right winners, and wrong ones, that these must have."""
_SCIKIT_LEARN = ("fitting a probability needs scikit-learn,", "ec-agent[calibrate]")
_INNER = 5
_ONE_BY_ONE = ("score", "agreement")


@dataclass(frozen=True, slots=True)
class ProbabilityForm:
    """One way to make a probability of a choice.

    Attributes:
        form: ``"platt"`` or ``"isotonic"``.
        names: the features that it is made of; isotonic regression takes the first alone.
    """

    form: Form
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.form} ({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class FitSource:
    """Where the rollouts come from.

    Attributes:
        run: name of the file.
        agent: name of the agent.
        temperature: sampling temperature, where the requests carried it.
        fitted: when the probability is fitted, ISO 8601; now where it is empty.
    """

    run: str = ""
    agent: str = ""
    temperature: float | None = None
    fitted: str = ""


@dataclass(frozen=True, slots=True)
class ProbabilityTuning:
    """What came of it.

    Attributes:
        fitted: fitted on all tasks: what the settings file holds.
        reliability: what probabilities fitted so are worth on other tasks, from the outer folds.
        votes: how often the folds chose which way, the most frequent first.
        ways: how many ways were tried.
        left_out: tasks in which no probability could be given: no score, or no answer to compare.
        folds: outer folds.
        repeats: how often the folds were drawn.
    """

    fitted: FittedProbability
    reliability: Reliability
    votes: tuple[tuple[str, int], ...]
    ways: int
    left_out: int
    folds: int
    repeats: int


def fit_probability(
    results: Sequence[TaskResult],
    setting: Setting | Selector,
    stop: StoppingPlan | None = None,
    *,
    source: FitSource | None = None,
    folds: int = 5,
    repeats: int = 20,
    seed: int = 0,
    resampling: Resampling | None = None,
) -> ProbabilityTuning:
    """Fit how likely a selector's choice is right, and say what that is worth. No model is called.

    Args:
        results: the tasks with their rollouts.
        setting: the selector with its settings; or a selector alone, for phases as the results have them.
        stop: the stopping plan with which ``best_of_n`` will run; the tasks are replayed with it.
        source: where the rollouts come from; receipts tell it.
        folds: outer folds, each of whole tasks.
        repeats: how often to draw the folds.
        seed: of these draws.
        resampling: how intervals are drawn.

    Raises:
        ConfigError: an argument has a value it cannot have; fewer than ``LEAST_TASKS`` tasks, or fewer than
            ``LEAST_EACH`` right or wrong winners; tasks with different numbers of rollouts; or scikit-learn is missing.
    """
    results = tunable(results, folds, repeats, seed)
    results, selector = _read(results, setting)
    source = or_none("source", source, instance, FitSource, "FitSource(...), or None") or FitSource()
    resampling = resampling_of(resampling)
    plan = _plain(stop)
    check_scikit_learn()
    seen, right, left_out = _choices(results, selector, stop)
    _check_enough(right, left_out)
    whole = Basis(
        selector=selector.name,
        n=len(results[0].candidates),
        tasks=len(seen),
        right=float(right.mean()),
        scored=min(each.scored for each in seen),
        config=results[0].candidates[0].config,
        stop=plan,
        coverage=_lowest_coverage(seen),
        models=tuple(sorted({name for each in seen for name in each.models})),
        temperature=source.temperature,
        run=source.run,
        agent=source.agent,
        fitted=source.fitted or datetime.now(UTC).isoformat(timespec="seconds"),
    )
    fits = _Fits(seen, right, ways_of(seen), whole)
    rng = np.random.default_rng(seed)
    p, c, votes = _outer(fits, folds, repeats, rng)
    found = reliability(p, c, right, resampling)
    every = np.arange(len(seen))
    fitted = fits.fit(fits.best(every, rng), every)
    return ProbabilityTuning(
        fitted=replace(fitted, basis=replace(whole, expected=_expected(found))),
        reliability=found,
        votes=tuple(votes.most_common()),
        ways=len(fits.ways),
        left_out=left_out,
        folds=folds,
        repeats=repeats,
    )


def check_scikit_learn() -> None:
    """Check that scikit-learn is installed, which fits.

    Raises:
        ConfigError: it is not.
    """
    needed("sklearn", *_SCIKIT_LEARN)


def source_of(path: str | Path) -> FitSource:
    """Return where the rollouts of a trace file, or of a database, come from.

    The temperature is left out where it did not reach every call: nobody knows then at which they ran.

    Raises:
        TraceError: the file is no trace file.
        ConfigError: the run was stopped by a plan, so that rollouts of its tasks are missing.
    """
    file = short_name(path)
    with open_store(path) as store:
        settings, costs = store.settings(), store.costs()
    if settings.get("stop") is not None:
        raise ConfigError(
            f"the tasks of {file} were run with a stopping plan, and a probability needs all n rollouts of each; "
            "evaluate without a plan"
        )
    reached = settings.get("temperature") is not None and not costs.get("unsampled_calls")
    return FitSource(file, str(settings.get("agent", "")), float(settings["temperature"]) if reached else None)


def ways_of(seen: Sequence[Evidence]) -> tuple[ProbabilityForm, ...]:
    """The ways that are tried: Platt scaling over all features that are known everywhere, and simpler ones."""
    known = tuple(name for name in FEATURES if _known(seen, name))
    alone = tuple(name for name in _ONE_BY_ONE if name in known)
    return (
        ProbabilityForm("platt", known),
        *(ProbabilityForm("platt", (name,)) for name in alone),
        *(ProbabilityForm("isotonic", (name,)) for name in alone),
    )


class _Fits:
    """Fits to some of the tasks, and what they say of others."""

    def __init__(
        self, seen: Sequence[Evidence], right: FloatArray, ways: Sequence[ProbabilityForm], basis: Basis
    ) -> None:
        self.seen, self.right, self.ways, self.basis = seen, right, ways, basis
        names = ways[0].names
        self.values = {name: np.array([getattr(each, name) for each in seen], dtype=np.float64) for name in names}

    def best(self, train: IntArray, rng: np.random.Generator) -> ProbabilityForm:
        """The first way that is as good as any by its Brier score, in folds within these tasks."""
        errors = np.zeros(len(self.ways))
        for test in np.array_split(rng.permutation(train), _INNER):
            rest = np.setdiff1d(train, test)
            for place, way in enumerate(self.ways):
                errors[place] += ((self.predicted(self.fit(way, rest), test) - self.right[test]) ** 2).sum()
        return self.ways[int(np.argmax(errors <= errors.min() + ROUNDING))]

    def predicted(self, fitted: FittedProbability, tasks: IntArray) -> FloatArray:
        """The probabilities of some tasks, by the very method that ``best_of_n`` calls."""
        return np.array([fitted.probability(self.seen[task]) for task in tasks], dtype=np.float64)

    def fit(self, way: ProbabilityForm, tasks: IntArray) -> FittedProbability:
        """Fit to some of the tasks. The ranges of all features are kept, also of those that it does not use."""
        ranges = {name: _range(values[tasks]) for name, values in self.values.items()}
        clipped = {name: np.minimum(self.values[name][tasks], ranges[name][1]) for name in way.names}
        names = dict.fromkeys((*way.names, *self.values))
        if way.form == "isotonic":
            knots = _isotonic(clipped[way.names[0]], self.right[tasks])
            features = tuple(Feature(name, *ranges[name]) for name in names)
            return FittedProbability("isotonic", features, self.basis, knots=knots)
        weights, intercept = _platt(clipped, self.right[tasks])
        features = tuple(Feature(name, *ranges[name], weights.get(name, 0.0)) for name in names)
        return FittedProbability("platt", features, self.basis, intercept)


def _outer(
    fits: _Fits, folds: int, repeats: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, Counter[str]]:
    """The probability of each task by what was fitted without it, the base rate there, and what the folds chose."""
    tasks = len(fits.seen)
    p, c, votes = np.empty((repeats, tasks)), np.empty((repeats, tasks)), Counter[str]()
    for turn, test in enumerate(drawn_folds(tasks, folds, repeats, rng)):
        train = np.delete(np.arange(tasks), test)
        way = fits.best(train, rng)
        p[turn // folds, test] = fits.predicted(fits.fit(way, train), test)
        c[turn // folds, test] = fits.right[train].mean()
        votes[str(way)] += 1
    return p, c, votes


def _platt(values: dict[str, FloatArray], right: FloatArray) -> tuple[dict[str, float], float]:
    """The weights and the intercept of a logistic regression over standardised features, with an L2 penalty."""
    moving = {name: each for name, each in values.items() if np.ptp(each) > ROUNDING}
    share = (right.sum() + 1.0) / (len(right) + 2.0)
    if not moving or right.min() == right.max():
        return {}, float(np.log(share / (1.0 - share)))
    columns = np.column_stack(list(moving.values()))
    means, deviations = columns.mean(axis=0), columns.std(axis=0)
    scaled = (columns - means) / deviations
    # A verdict may be a share: each task counts as right with its weight, and as wrong with the rest.
    rows, labels = np.concatenate([scaled, scaled]), np.repeat([1, 0], len(right))
    weights = np.concatenate([right, 1.0 - right])
    counts = weights > 0
    linear = needed("sklearn.linear_model", *_SCIKIT_LEARN)
    # A handful of columns: Newton's steps are exact in few rounds, and wait for no threads as L-BFGS does here.
    model = linear.LogisticRegression(solver="newton-cholesky")
    model.fit(rows[counts], labels[counts], sample_weight=weights[counts])
    slopes = model.coef_[0] / deviations
    intercept = float(model.intercept_[0] - (slopes * means).sum())
    return {name: float(slope) for name, slope in zip(moving, slopes, strict=True)}, intercept


def _isotonic(values: FloatArray, right: FloatArray) -> tuple[tuple[float, float], ...]:
    """The knots of an isotonic regression. Like Platt's targets, they stay away from 0 and 1."""
    edge = 1.0 / (len(right) + 2.0)
    rises = bool(np.cov(values, right)[0, 1] >= 0)
    isotonic = needed("sklearn.isotonic", *_SCIKIT_LEARN)
    found = isotonic.IsotonicRegression(y_min=edge, y_max=1.0 - edge, increasing=rises, out_of_bounds="clip")
    found.fit(values, right)
    return tuple((float(x), float(y)) for x, y in zip(found.X_thresholds_, found.y_thresholds_, strict=True))


def _read(results: Sequence[TaskResult], setting: Setting | Selector) -> tuple[list[TaskResult], Selector]:
    """The results as the selector meets them, and the selector."""
    if isinstance(setting, Setting):
        selector = setting.build()
        results = [result.with_config(setting.config) for result in results]
    else:
        check_selector(setting, "setting")
        selector = setting
    if not {len(result.candidates) for result in results} <= {len(results[0].candidates)} - {0}:
        raise ConfigError(
            "results have no rollouts, or tasks with different numbers of them, and a probability is fitted for one n; "
            "evaluate all tasks with the same n and without a stopping plan"
        )
    return [result.read_by(selector) for result in results], selector


def _choices(
    results: Sequence[TaskResult], selector: Selector, stop: StoppingPlan | None
) -> tuple[list[Evidence], FloatArray, int]:
    """What the choice of each task shows, the verdict on its winner, and how many tasks have none to judge."""
    seen, right = [], []
    for result in results:
        found = replayed_evidence(result.candidates, selector, stop)
        if found is not None and found[0].score is not None and found[0].agreement is not None:
            seen.append(found[0])
            right.append(float(result.correct[found[1]]))
    return seen, np.array(right), len(results) - len(seen)


def _check_enough(right: FloatArray, left_out: int) -> None:
    without = f" ({left_out} more have no score, or no answer to compare)" if left_out else ""
    if len(right) < LEAST_TASKS:
        raise ConfigError(
            f"{len(right)} tasks have a choice to judge{without}, and a probability needs {LEAST_TASKS} or more; "
            "evaluate more tasks"
        )
    good, bad = float(right.sum()), float((1.0 - right).sum())
    if min(good, bad) < LEAST_EACH:
        raise ConfigError(
            f"of {len(right)} winners {good:g} are right and {bad:g} wrong, and a probability needs {LEAST_EACH} or "
            "more of each; evaluate more tasks, or tasks that are neither too hard nor too easy"
        )


def _plain(stop: StoppingPlan | None) -> dict[str, Any] | None:
    if stop is None:
        return None
    check_plan(stop)
    plain = settings_of(stop)
    if plain is None:
        raise ConfigError(
            f"stop is {spelled(stop)}, which a file cannot hold; give a plan of ec_agent.stopping without a function "
            "of your own"
        )
    return plain


def _known(seen: Sequence[Evidence], name: str) -> bool:
    values = [getattr(each, name) for each in seen]
    return all(value is not None for value in values) and any(np.isfinite(value) for value in values)


def _range(values: FloatArray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def _lowest_coverage(seen: Sequence[Evidence]) -> float | None:
    values = [each.coverage for each in seen]
    return None if any(value is None for value in values) else min(float(value or 0.0) for value in values)


def _expected(found: Reliability) -> dict[str, Any]:
    def three(each: Estimate) -> list[float | None]:
        return [each.value, each.low, each.high]

    return {
        "brier": three(found.brier),
        "brier_minus_constant": three(found.brier_minus_constant),
        "ece": three(found.ece),
        "ece_constant": three(found.ece_constant),
        "ece_by_chance": found.ece_by_chance,
    }
