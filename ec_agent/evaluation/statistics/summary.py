"""All of it: rollouts and selectors in, one tree of plain numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.auroc import task_auroc
from ec_agent.evaluation.statistics.bootstrap import (
    Estimate,
    Resampling,
    differences,
    estimate,
    estimates,
    holm,
    paired_p,
    resampling_of,
    smallest_detectable,
)
from ec_agent.evaluation.statistics.conclusion import Conclusion, verdict
from ec_agent.evaluation.statistics.confounds import PANEL, Chance, Confounds, confounds, suspicions
from ec_agent.evaluation.statistics.effort import Effort, effort
from ec_agent.evaluation.statistics.fewer_rollouts import n_curve, pass_at_k, pass_hat_k
from ec_agent.evaluation.statistics.score_bins import Bin, calibration
from ec_agent.evaluation.statistics.standing import Standing, standing
from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors import Selector
from ec_agent.selectors.registry import check_selector
from ec_agent.support.checks import mapping, several


@dataclass(frozen=True, slots=True)
class Curve:
    """A selector's accuracy by the number of rollouts; entry ``n - 1`` is for n.

    Attributes:
        accuracy: expected accuracy, ties averaged.
        difference: accuracy minus Pass@1.
        exact: whether every subset counts; else a seeded draw of them does (votes with N > 16; with N > 12
            selectors of your own whose scores depend on the other rollouts).
    """

    accuracy: tuple[float, ...]
    difference: tuple[Estimate, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class SelectorSummary:
    """One selector.

    Attributes:
        name: its name in the report.
        accuracy: mean over tasks of the pick's verdict, ties averaged; with its interval.
        difference: accuracy minus Pass@1, paired by task.
        p: two-sided p-value of that difference, uncorrected.
        corrected_p: Holm-corrected over the selectors compared; ``None`` for those of the confound panel, which are
            there to explain and not to be found better.
        detectable: smallest detectable difference at 80 % power, two-sided 5 %, one comparison; ``None`` where
            the differences do not vary, or where none could be found however large.
        chance: what a random order with its ties makes: the other thing to compare it with.
        auroc: within-task AUROC of its order against the verdicts, over the tasks with both outcomes.
        curve: accuracy by number of rollouts, up to the N that every task has.
        confounds: how much of it is length.
        calibration: verdict by score.
        fell_back: tasks in which it ranked nothing, so that any rollout that ended was picked.
        warned: tasks for which it gave a validity warning.
        warnings: how many warnings it gave.
        picked: per task, the indices of the rollouts that share the pick.
        by_task: per task, their mean verdict: what ``accuracy`` is the mean of.
        verdict: what may be said of it; ``None`` for the confound panel.
    """

    name: str
    accuracy: Estimate
    difference: Estimate
    p: float
    corrected_p: float | None
    detectable: float | None
    chance: Chance
    auroc: Estimate
    curve: Curve
    confounds: Confounds
    calibration: tuple[Bin, ...]
    fell_back: int
    warned: int
    warnings: int
    picked: tuple[tuple[int, ...], ...]
    by_task: tuple[float, ...]
    verdict: Conclusion | None


@dataclass(frozen=True, slots=True)
class Summary:
    """An evaluation's numbers.

    Attributes:
        tasks: ids, in order; whatever is per task follows it.
        by_task: per task, the mean verdict of its rollouts: what ``pass_1`` is the mean of.
        n: rollouts of a task: the fewest that any has.
        n_most: the most that any has.
        pass_1: mean verdict of a rollout, failed ones as 0.
        pass_1_ended: mean verdict of a rollout that ended: what a selector gains by passing over failures alone.
        oracle: mean verdict of each task's best rollout.
        greedy: mean verdict of the rollouts at temperature 0, over the tasks that have one.
        greedy_difference: that minus Pass@1 on the same tasks.
        pass_at_k: chance that one of k is right, for k = 1 to ``n``, unbiased.
        pass_hat_k: chance that all of k are right.
        effort: costs, failures, diversity.
        selectors: the selectors compared, in the order given.
        panel: the confound panel's.
        comparisons: how many selectors the p-values are corrected for; those that are ``alike`` count once.
        alike: names of selectors that rank the rollouts of every task alike, ties included: one group or more of two or
            more. Selectors see no outcome, so that grouping them by what they did gives nothing away.
        resampling: how intervals and p-values were drawn.
    """

    tasks: tuple[str, ...]
    by_task: tuple[float, ...]
    n: int
    n_most: int
    pass_1: Estimate
    pass_1_ended: Estimate
    oracle: Estimate
    greedy: Estimate
    greedy_difference: Estimate
    pass_at_k: tuple[float, ...]
    pass_hat_k: tuple[float, ...]
    effort: Effort
    selectors: tuple[SelectorSummary, ...]
    panel: tuple[SelectorSummary, ...]
    comparisons: int
    alike: tuple[tuple[str, ...], ...]
    resampling: Resampling

    def to_dict(self) -> dict[str, Any]:
        """The tree as plain JSON."""
        plain: dict[str, Any] = _plain(self)
        return plain


def summarise(
    results: Sequence[TaskResult],
    selectors: Mapping[str, Selector],
    *,
    resampling: Resampling | None = None,
    panel: Mapping[str, Selector] = PANEL,
) -> Summary:
    """Compare selectors on stored rollouts. No model is called.

    Args:
        results: the tasks with their rollouts.
        selectors: name -> selector. All of them count in the correction, so leave out what is not meant seriously;
            those that rank the rollouts of every task alike count once.
        resampling: how intervals and p-values are drawn; ``None`` is 9,999 resamples from seed 0.
        panel: the selectors of the confound panel, by name.

    Raises:
        ConfigError: no tasks, two with one id, a task without rollouts, a broken selector, or SciPy is missing.
    """
    resampling = resampling_of(resampling)
    results = several("results", results, TaskResult, "a list of results, as load_results(path) has them")
    _check(results)
    _check_selectors(selectors=selectors, panel=panel)
    pass_1 = np.array([result.correct.mean() for result in results])
    rows = [_Row(name, selector, results, pass_1, resampling) for name, selector in selectors.items()]
    beside = [_Row(name, selector, results, pass_1, resampling) for name, selector in panel.items()]
    groups = _alike(rows)
    once = holm([group[0].p for group in groups])  # those of a group have one p-value: it is the same test
    corrected = {row.name: p for group, p in zip(groups, once, strict=True) for row in group}
    panel_differences = {row.name: row.difference for row in beside}
    smallest = min(len(result.candidates) for result in results)
    with_greedy = [(each.greedy, mean) for each, mean in zip(results, pass_1, strict=True) if each.greedy is not None]
    return Summary(
        tasks=tuple(result.task for result in results),
        by_task=tuple(pass_1.tolist()),
        n=smallest,
        n_most=max(len(result.candidates) for result in results),
        pass_1=estimate(pass_1, resampling),
        pass_1_ended=estimate([ended_mean(result) for result in results], resampling),
        oracle=estimate([result.correct.max() for result in results], resampling),
        greedy=estimate([greedy for greedy, _ in with_greedy], resampling),
        greedy_difference=estimate(differences(*np.array(with_greedy).reshape(-1, 2).T), resampling),
        pass_at_k=_mean_curve([pass_at_k(result.correct) for result in results], smallest),
        pass_hat_k=_mean_curve([pass_hat_k(result.correct) for result in results], smallest),
        effort=effort(results),
        selectors=tuple(row.summary(corrected[row.name], len(groups), panel_differences) for row in rows),
        panel=tuple(row.summary(None, len(groups), {}) for row in beside),
        comparisons=len(groups),
        alike=tuple(tuple(row.name for row in group) for group in groups if len(group) > 1),
        resampling=resampling,
    )


def _check_selectors(**given: Mapping[str, Selector]) -> None:
    for name, selectors in given.items():
        for selector in mapping(name, selectors, "a dict from names to selectors").values():
            check_selector(selector, f"a value of {name}")


class _Row:
    """One selector's numbers before those of all selectors are known."""

    def __init__(
        self,
        name: str,
        selector: Selector,
        results: Sequence[TaskResult],
        pass_1: FloatArray,
        resampling: Resampling,
    ) -> None:
        self.name, self.selector, self.resampling = name, selector, resampling
        self.results = [result.read_by(selector) for result in results]
        self.standings = [standing(result.candidates, selector) for result in self.results]
        self.accuracies = per_task(results, self.standings)
        self.pass_1 = pass_1
        self.differences = differences(self.accuracies, pass_1)
        self.difference = estimate(self.differences, resampling)
        self.p = paired_p(self.accuracies, pass_1, resampling)

    def summary(self, corrected_p: float | None, comparisons: int, panel: Mapping[str, Estimate]) -> SelectorSummary:
        pairs = list(zip(self.standings, self.results, strict=True))
        auroc = estimate([task_auroc(one, result.correct) for one, result in pairs], self.resampling)
        found = confounds(self.results, self.selector, self.standings, self.resampling)
        detectable = smallest_detectable(self.differences)
        by_chance = self._chance()
        doubts = suspicions(self.difference, by_chance, auroc, found, panel)
        judged = verdict(self.name, self.difference, corrected_p, comparisons, detectable, doubts)
        return SelectorSummary(
            name=self.name,
            accuracy=estimate(self.accuracies, self.resampling),
            difference=self.difference,
            p=self.p,
            corrected_p=corrected_p,
            detectable=detectable,
            chance=by_chance,
            auroc=auroc,
            curve=self._curve(),
            confounds=found,
            calibration=calibration(self.results, self.standings, self.resampling),
            fell_back=sum(one.fell_back for one in self.standings),
            warned=sum(bool(one.warnings) for one in self.standings),
            warnings=sum(len(one.warnings) for one in self.standings),
            picked=tuple(tuple(result.candidates[place].index for place in one.picked) for one, result in pairs),
            by_task=tuple(self.accuracies.tolist()),
            verdict=None if corrected_p is None else judged,
        )

    def _chance(self) -> Chance:
        pairs = zip(self.standings, self.results, strict=True)
        expected = np.array([one.chance(result.correct) for one, result in pairs])
        return Chance(
            difference=estimate(differences(expected, self.pass_1), self.resampling),
            left=estimate(differences(self.accuracies, expected), self.resampling),
        )

    def _curve(self) -> Curve:
        smallest = min(len(result.candidates) for result in self.results)
        curves = [
            n_curve(result, self.selector, one, self.resampling.seed)
            for one, result in zip(self.standings, self.results, strict=True)
        ]
        accuracy = np.array([curve[:smallest] for curve, _ in curves])  # (T, n)
        return Curve(
            accuracy=tuple(accuracy.mean(axis=0).tolist()),
            difference=tuple(estimates(differences(accuracy.T, self.pass_1), self.resampling)),
            exact=all(exact for _, exact in curves),
        )


def _alike(rows: Sequence[_Row]) -> list[list[_Row]]:
    """The rows in groups that make the same of every task: such selectors are one comparison."""
    groups: dict[tuple[bytes, ...], list[_Row]] = {}
    for row in rows:
        groups.setdefault(tuple(one.levels.tobytes() + one.ranked.tobytes() for one in row.standings), []).append(row)
    return list(groups.values())


def per_task(results: Sequence[TaskResult], standings: Sequence[Standing]) -> FloatArray:
    """Each task's verdict on the pick, ties averaged, shape ``(T,)``."""
    return np.array([one.accuracy(result.correct) for one, result in zip(standings, results, strict=True)])


def ended_mean(result: TaskResult) -> float:
    """Mean verdict of the rollouts that ended; 0 where none did."""
    ended = [candidate.error is None for candidate in result.candidates]
    return float(result.correct[ended].mean()) if any(ended) else 0.0


def _mean_curve(curves: Sequence[FloatArray], length: int) -> tuple[float, ...]:
    means: list[float] = np.mean([curve[:length] for curve in curves], axis=0).tolist()
    return tuple(means)


def _check(results: Sequence[TaskResult]) -> None:
    names = [result.task for result in results]
    if not names or len(set(names)) != len(names):
        raise ConfigError(
            f"results has {len(names)} tasks with {len(set(names))} ids; give one task or more, each with its own id"
        )
    for result in results:
        if not result.candidates:
            raise ConfigError(f"task {result.task!r} has no rollouts; run it, or leave it out")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value
