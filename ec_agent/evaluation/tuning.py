"""Choosing a selector and its hyper-parameters without fooling oneself: nested cross-validation over tasks.

The settings that are best on some tasks look better on *these* tasks than they are. So the outer folds ask: settings
chosen on the other tasks, what are they worth on these? Their mean is what may be expected of the whole procedure, and
the only number that may be claimed. What the best settings reach on the very tasks they were chosen on is shown beside
it, as the leak that it is.

No setting has fitted parameters, so that its mean over the training tasks *is* its inner cross-validation score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.bootstrap import (
    ROUNDING,
    Estimate,
    Resampling,
    differences,
    estimate,
    resampling_of,
)
from ec_agent.evaluation.statistics.standing import IntArray, standing
from ec_agent.evaluation.statistics.summary import ended_mean
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.phases import HEPConfig
from ec_agent.rollouts.settings_files import Setting
from ec_agent.selectors.registry import CONFOUNDS, SELECTORS
from ec_agent.support.checks import several, whole

# The sweep of the method's authors (docs/method.md section 6).
SWEEP = tuple(HEPConfig(*values) for values in product((1, 3, 5), (30, 50, 80), (2, 3, 5)))
MOST_REPEATS = 10_000
_OF_PHASES = ("lowest_centroid", "centroid_weighted_vote")


def default_grid(names: Sequence[str] = ()) -> tuple[Setting, ...]:
    """What is tried: the authors' sweep for the selectors that read phases, the others as they are.

    Args:
        names: the selectors; none for all but those of the confound panel. The default setting, where it is among
            them, comes first: equally good ones later give way to it.

    Raises:
        ConfigError: there is no such selector.
    """
    settings: list[Setting] = []
    named = several("names", names, str, f"a list of names of selectors: {', '.join(SELECTORS)}")
    for name in dict.fromkeys(named) or [name for name in SELECTORS if name not in CONFOUNDS]:
        Setting(name).build()  # so that an unknown name is told here
        configs = sorted(SWEEP, key=lambda config: config != HEPConfig()) if name in _OF_PHASES else [HEPConfig()]
        settings += [Setting(name, config=config) for config in configs]
    return tuple(sorted(settings, key=lambda setting: setting != Setting()))


@dataclass(frozen=True, slots=True)
class Tuning:
    """What came of it.

    Attributes:
        chosen: the best setting on all tasks: what the settings file holds.
        expected: accuracy that may be expected of settings chosen so, from the outer folds.
        expected_difference: the same minus Pass@1, paired by task.
        naive: what the chosen setting reaches on the tasks it was chosen on. Not a result.
        naive_difference: that minus Pass@1.
        default_difference: the default setting's accuracy minus Pass@1: nothing was tuned there.
        ended_difference: mean verdict of the rollouts that ended minus Pass@1: what passing over failures alone makes.
        pass_1: mean verdict of a rollout.
        votes: how often the folds chose which setting, the most frequent first.
        settings: how many settings were tried.
        folds: outer folds.
        repeats: how often the folds were drawn.
        seed: of the draws.
    """

    chosen: Setting
    expected: Estimate
    expected_difference: Estimate
    naive: float
    naive_difference: float
    default_difference: Estimate
    ended_difference: Estimate
    pass_1: float
    votes: tuple[tuple[str, int], ...]
    settings: int
    folds: int
    repeats: int
    seed: int

    @property
    def leak(self) -> float:
        """By how much tuning on the test set would have flattered."""
        return float(differences(np.array(self.naive), self.expected.value or 0.0))

    def about(self) -> dict[str, Any]:
        """What a settings file says of itself."""
        gain = self.expected_difference
        return {
            "expected_minus_pass_1": [gain.value, gain.low, gain.high],
            "tasks": gain.tasks,
            "settings_tried": self.settings,
            "not_a_result_naive_minus_pass_1": self.naive_difference,
        }


def tune(
    results: Sequence[TaskResult],
    grid: Sequence[Setting] = (),
    *,
    folds: int = 5,
    repeats: int = 20,
    seed: int = 0,
    resampling: Resampling | None = None,
) -> Tuning:
    """Choose among settings, and say what that is worth. No model is called.

    Args:
        results: the tasks with their rollouts.
        grid: the settings; by default ``default_grid()``.
        folds: outer folds, each of whole tasks.
        repeats: how often to draw the folds.
        seed: of the draws.
        resampling: how intervals are drawn.

    Raises:
        ConfigError: fewer tasks than folds, fewer than two folds, no repeats, or a negative seed.
    """
    results = tunable(results, folds, repeats, seed)
    grid = several("grid", grid, Setting, "a list of Setting(...) objects") or default_grid()
    resampling = resampling_of(resampling)
    accuracies = picked(results, grid)
    pass_1 = np.array([result.correct.mean() for result in results])
    outer, votes = _outer(accuracies, folds, repeats, np.random.default_rng(seed))
    best = _best(accuracies)
    default = picked(results, [Setting()])[0]
    ended = np.array([ended_mean(result) for result in results])
    return Tuning(
        chosen=grid[best],
        expected=estimate(outer, resampling),
        expected_difference=estimate(differences(outer, pass_1), resampling),
        naive=float(accuracies[best].mean()),
        naive_difference=float(differences(accuracies[best], pass_1).mean()),
        default_difference=estimate(differences(default, pass_1), resampling),
        ended_difference=estimate(differences(ended, pass_1), resampling),
        pass_1=float(pass_1.mean()),
        votes=tuple((str(grid[place]), count) for place, count in votes.most_common()),
        settings=len(grid),
        folds=folds,
        repeats=repeats,
        seed=seed,
    )


def tunable(results: Sequence[TaskResult], folds: int, repeats: int, seed: int) -> tuple[TaskResult, ...]:
    """The results, if so many folds can be drawn of them.

    Raises:
        ConfigError: fewer tasks than folds, fewer than two folds, no repeats, or a negative seed.
    """
    results = several("results", results, TaskResult, "a list of results, as load_results(path) has them")
    if not results:
        raise ConfigError("results is empty; give those of a task or more")
    if len(results) == 1:
        raise ConfigError("results has one task, which leaves none to measure a choice on; run two tasks or more")
    here = f", for {len(results)} tasks"
    whole("folds", folds, 2, len(results), rather=f"at least 2, and a task for each{here}")
    whole("repeats", repeats, 1, MOST_REPEATS, rather=f"a whole number from 1 to {MOST_REPEATS}{here}")
    whole("seed", seed, 0, rather=f"a whole number of at least 0{here}")
    return results


def drawn_folds(tasks: int, folds: int, repeats: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """The tasks of each outer fold, of one draw after the other."""
    for _ in range(repeats):
        yield from np.array_split(rng.permutation(tasks), folds)


def picked(results: Sequence[TaskResult], grid: Sequence[Setting]) -> FloatArray:
    """Mean verdict of what each setting picks in each task, ties averaged; shape ``(settings, tasks)``."""
    accuracies = np.empty((len(grid), len(results)))
    for row, setting in enumerate(grid):
        selector = setting.build()
        for column, result in enumerate(results):
            read = result.read_by(selector).with_config(setting.config).candidates
            accuracies[row, column] = standing(list(read), selector).accuracy(result.correct)
    return accuracies


def _outer(
    accuracies: FloatArray, folds: int, repeats: int, rng: np.random.Generator
) -> tuple[FloatArray, Counter[int]]:
    """Each task's accuracy under the settings chosen without it, averaged over repeats; and what was chosen."""
    tasks = accuracies.shape[1]
    outer, votes = np.zeros(tasks), Counter[int]()
    for test in drawn_folds(tasks, folds, repeats, rng):
        best = _best(np.delete(accuracies, test, axis=1))
        outer[test] += accuracies[best, test] / repeats
        votes[best] += 1
    return outer, votes


def _best(accuracies: FloatArray) -> int:
    """The first setting that is as good as any; rounding makes none better."""
    means = accuracies.mean(axis=1)
    return int(np.argmax(means >= means.max() - ROUNDING))
