"""Choosing a stopping plan without fooling oneself: nested cross-validation over tasks, on stored rollouts.

Of the plans that lose no more accuracy than allowed on the training tasks, the one that takes the fewest tokens is
chosen. Some of the cheap ones seem good by luck, so that a plan's loss must stay within what is allowed by a margin:
one standard error of its mean, as in the one-standard-error rule of Breiman et al. (Classification and Regression
Trees, 1984). What the plan saves and loses there still looks better than it is, so the outer folds ask what plans
chosen on the other tasks are worth on these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.bootstrap import (
    ROUNDING,
    Estimate,
    Resampling,
    differences,
    estimate,
    ratio,
    resampling_of,
)
from ec_agent.evaluation.statistics.plan_comparison import ALL, share
from ec_agent.evaluation.statistics.plan_replays import Replayer
from ec_agent.evaluation.statistics.standing import IntArray
from ec_agent.evaluation.tuning import drawn_folds, tunable
from ec_agent.numbers.coverage import unscored
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import leading
from ec_agent.rollouts.settings_files import Setting
from ec_agent.selectors import MeanLogprob
from ec_agent.stopping import Agreement, Beta, OutOfReach, ScoreThreshold, StoppingPlan
from ec_agent.stopping.asking import check_plan
from ec_agent.stopping.spelling import spelled
from ec_agent.support.checks import instance, number, several

MAX_LOSS = 0.005
MARGIN = 1.0
_SHARES = (1.0, 0.75, 0.6)
_CONFIDENCES = (0.7, 0.8, 0.9, 0.95)
_QUANTILES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class StopTuning:
    """What came of it. Differences are from the same selector with all N rollouts, paired by task.

    Attributes:
        chosen: the plan chosen on all tasks; ``None`` where all N are the best that is allowed.
        expected_difference: accuracy that plans chosen so may be expected to gain or lose, from the outer folds.
        expected_tokens: share of the tokens that they take, mean over tasks.
        expected_bill: all tasks' tokens over what all N take in all tasks.
        expected_length: the same of the longest way through, which stands for time.
        naive_difference: what the chosen plan loses on the tasks it was chosen on. Not a result.
        naive_tokens: the share it takes there. Not a result.
        votes: how often the folds chose which plan, the most frequent first.
        plans: how many plans were tried, all N among them.
        max_loss: accuracy that a plan was allowed to lose on its training tasks.
        standard_errors: by how many standard errors its loss there had to be within that.
        folds: outer folds.
        repeats: how often the folds were drawn.
    """

    chosen: StoppingPlan | None
    expected_difference: Estimate
    expected_tokens: Estimate
    expected_bill: Estimate
    expected_length: Estimate
    naive_difference: float
    naive_tokens: float
    votes: tuple[tuple[str, int], ...]
    plans: int
    max_loss: float
    standard_errors: float
    folds: int
    repeats: int

    def about(self) -> dict[str, Any]:
        """What a settings file says of itself."""
        lost, taken = self.expected_difference, self.expected_tokens
        return {
            "stop_expected_minus_all_n": [lost.value, lost.low, lost.high],
            "stop_expected_share_of_tokens": [taken.value, taken.low, taken.high],
            "stop_plans_tried": self.plans,
            "stop_max_loss": self.max_loss,
            "stop_standard_errors": self.standard_errors,
        }


def tune_stop(
    results: Sequence[TaskResult],
    setting: Setting,
    plans: Sequence[StoppingPlan] = (),
    *,
    max_loss: float = MAX_LOSS,
    standard_errors: float = MARGIN,
    folds: int = 5,
    repeats: int = 20,
    seed: int = 0,
    resampling: Resampling | None = None,
) -> StopTuning:
    """Choose among stopping plans for a selector, and say what that is worth. No model is called.

    Args:
        results: the tasks with their rollouts.
        setting: the selector, with which each plan is compared with all N.
        plans: the plans; by default ``plan_grid(results)``.
        max_loss: accuracy that a plan may lose on its training tasks, 0.005 for half a point. It may be 0.
        standard_errors: the margin: its mean loss there, and so many standard errors of that mean, must stay within
            ``max_loss``. With 0 the mean alone counts: plans save more, and lose more than allowed more often.
        folds: outer folds, each of whole tasks.
        repeats: how often to draw the folds.
        seed: of the draws, and of the orders in which rollouts are replayed.
        resampling: how intervals are drawn.

    Raises:
        ConfigError: an argument has a value it cannot have, fewer tasks than folds, or a plan or the selector fails.
    """
    results = tunable(results, folds, repeats, seed)
    instance("setting", setting, Setting, "Setting(...)")
    number("max_loss", max_loss, "the accuracy that may be lost, from 0 to 1: 0.005 is half a point", least=0, most=1)
    number("standard_errors", standard_errors, "how many standard errors a loss is held within max_loss by", least=0)
    resampling = resampling_of(resampling)
    tried: list[StoppingPlan | None] = [None, *(_checked(plans) or plan_grid(results))]
    replayer = Replayer([result.with_config(setting.config) for result in results], setting.build(), seed=seed)
    played = [replayer.play(plan) for plan in tried]
    whole = played[0]
    lost = np.array([differences(each.accuracy, whole.accuracy) for each in played])
    taken = np.array([share(each.tokens, whole.tokens) for each in played])
    may = _Allowed(max_loss, standard_errors)
    outer, votes = _outer(lost, taken, may, drawn_folds(len(results), folds, repeats, np.random.default_rng(seed)))
    best = may.cheapest(lost, taken)

    def judged(values: FloatArray) -> FloatArray:
        return np.asarray((outer / repeats * values).sum(axis=0))

    return StopTuning(
        chosen=tried[best],
        expected_difference=estimate(differences(judged(lost), 0.0), resampling),
        expected_tokens=estimate(judged(taken), resampling),
        expected_bill=ratio(judged(np.array([each.tokens for each in played])), whole.tokens, resampling),
        expected_length=ratio(judged(np.array([each.length for each in played])), whole.length, resampling),
        naive_difference=float(lost[best].mean()),
        naive_tokens=float(np.nanmean(taken[best])),
        votes=tuple((_name(tried[place]), count) for place, count in votes.most_common()),
        plans=len(tried),
        max_loss=float(max_loss),
        standard_errors=float(standard_errors),
        folds=folds,
        repeats=repeats,
    )


def plan_grid(results: Sequence[TaskResult]) -> tuple[StoppingPlan, ...]:
    """What is tried: agreement in waves, out of reach, the Beta rule, and thresholds on the mean logprob.

    The thresholds are quantiles of all the scores, at which no verdict is looked.
    """
    n = min((len(result.candidates) for result in results), default=0)
    if n < 2:
        return ()
    quarter, third, half = max(1, n // 4), max(1, 3 * n // 8), (n + 1) // 2
    waves = {(half, n - half), (third, n - third), (quarter, quarter, n - 2 * quarter), (2, 1), (3, 1)}
    usable = sorted(each for each in waves if min(each) > 0 and each[0] > 1)
    agreeing = [Agreement(each, least) for least in _SHARES for each in usable]
    return (OutOfReach(), *agreeing, *map(Beta, _CONFIDENCES), *_thresholds(results))


def _thresholds(results: Sequence[TaskResult]) -> Iterator[ScoreThreshold]:
    selector = MeanLogprob()
    signal = leading(selector.signals)
    candidates = [c for result in results for c in result.candidates if c.error is None]
    if signal is None or any(signal not in call.signals for c in candidates for call in c.trajectory.calls):
        return
    scores = [selector.score(c) for c in candidates if unscored(c.trajectory, signal) is None]
    known = [score for score in scores if score is not None and np.isfinite(score)]
    for threshold in dict.fromkeys(np.quantile(known, _QUANTILES).tolist()) if known else ():
        yield ScoreThreshold(float(f"{threshold:.6g}"), selector)


def _checked(plans: Sequence[StoppingPlan]) -> tuple[StoppingPlan, ...]:
    given: tuple[Any, ...] = several("plans", plans, object, "a list of stopping plans")
    for plan in given:
        check_plan(plan, "a plan in plans")
    return given


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What a plan may lose. Arrays have the shape ``(plans, tasks)``; a loss is negative."""

    loss: float
    standard_errors: float

    def cheapest(self, lost: FloatArray, taken: FloatArray) -> int:
        """The plan with the fewest tokens of those that lose no more than allowed."""
        tasks = lost.shape[1]
        margin = self.standard_errors * lost.std(axis=1, ddof=1) / np.sqrt(tasks) if tasks > 1 else 0.0
        within = lost.mean(axis=1) - margin >= -self.loss - ROUNDING
        means = np.where(within, np.nan_to_num(np.nanmean(taken, axis=1), nan=1.0), np.inf)
        return int(np.argmax(means <= means.min() + ROUNDING))


def _outer(
    lost: FloatArray, taken: FloatArray, may: _Allowed, tests: Iterable[IntArray]
) -> tuple[FloatArray, Counter[int]]:
    """How often each task was judged by each plan, chosen without it (rows are plans); and what the folds chose."""
    outer, votes = np.zeros_like(lost), Counter[int]()
    for test in tests:
        best = may.cheapest(np.delete(lost, test, axis=1), np.delete(taken, test, axis=1))
        outer[best, test] += 1
        votes[best] += 1
    return outer, votes


def _name(plan: StoppingPlan | None) -> str:
    return ALL if plan is None else spelled(plan)
