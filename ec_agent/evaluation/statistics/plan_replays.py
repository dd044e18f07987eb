"""Stopping plans over stored rollouts, each task in many orders. No token is spent.

A plan meets rollouts in an order, and another order is another run of the same question. So each task is replayed in
many of them, and the means over these are the task's figures. All plans meet the same orders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, permutations
from typing import NamedTuple

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.standing import IntArray
from ec_agent.numbers.entropy import FloatArray
from ec_agent.selectors import Candidate, Selector, VoteSelector
from ec_agent.selectors.normalize import answer_of
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.stopping import Agreement, Beta, OutOfReach, ScoreThreshold, StoppingPlan, replay
from ec_agent.stopping.asking import check_plan, rank, taken
from ec_agent.stopping.replaying import in_order, in_waves
from ec_agent.support.checks import flag, several, whole

MOST_ORDERS = 720
"""Where a task's rollouts have no more orders (N <= 6), all are gone through."""

DRAWN_ORDERS = 240
"""Else so many are drawn, or a few more: some, each turned round until every rollout has come first once."""

Choose = Callable[[Sequence[int], int, Sequence[int] | None], int | None]


@dataclass(frozen=True, slots=True, eq=False)
class Replays:
    """What one plan made of each task, mean over the orders; shape ``(T,)`` each.

    Attributes:
        accuracy: verdict of the winner; 0 where every rollout failed.
        tokens: generated tokens of the rollouts that started.
        length: generated tokens of the longest way through, wave after wave: it stands for time.
        started: rollouts that started.
        same_winner: share of orders in which the winner is the rollout that all N would have made it.
        exact: whether all orders of every task were gone through.
    """

    accuracy: FloatArray
    tokens: FloatArray
    length: FloatArray
    started: FloatArray
    same_winner: FloatArray
    exact: bool


class Replayer:
    """Tasks and a selector, made ready to be replayed with one plan after another.

    Args:
        results: the tasks with their rollouts.
        selector: what chooses.
        seed: of the drawn orders.

    Raises:
        ConfigError: an argument is of another kind, or there are no results.
    """

    def __init__(self, results: Sequence[TaskResult], selector: Selector, *, seed: int = 0) -> None:
        results = several("results", results, TaskResult, "a list of results, as load_results(path) has them")
        whole("seed", seed, 0)
        if not results:
            raise ConfigError("results is empty; give those of a task or more")
        self._tasks = [_ReplayedTask(result.read_by(selector), selector, seed) for result in results]

    def play(self, plan: StoppingPlan | None, *, cancel: bool = False) -> Replays:
        """What a plan makes of each task.

        It is ``ec_agent.stopping.replay`` of each order. A ready plan that goes in waves is asked once for all orders
        that look alike to it: it sees nothing but which answers are the same, or whether a score is good enough.

        Args:
            plan: the plan; ``None`` for all N at once.
            cancel: whether all start at once and the rest is cancelled, in place of waves.

        Raises:
            ConfigError: an argument is of another kind, or the plan or the selector fails.
        """
        if plan is not None:
            check_plan(plan, "plan")
        at_once = flag("cancel", cancel)
        known: _Known = {}
        rows = [
            task.at_once(plan) if at_once and plan is not None else task.in_waves(plan, known) for task in self._tasks
        ]
        accuracy, tokens, length, started, same = np.array(rows).T
        return Replays(accuracy, tokens, length, started, same, all(task.exact for task in self._tasks))


class _Course(NamedTuple):
    """The sizes of the waves, and who may win, by place in the order."""

    waves: tuple[int, ...]
    among: tuple[int, ...] | None


_Known = dict[Hashable, _Course]
Row = tuple[float, ...]


class _ReplayedTask:
    """One task's rollouts, what the selector makes of each, and the orders."""

    def __init__(self, result: TaskResult, selector: Selector, seed: int) -> None:
        self._candidates, self._correct, self._selector = result.candidates, result.correct, selector
        if not self._candidates:
            raise ConfigError(f"task {result.task!r} has no rollouts; leave it out")
        self._lengths = [len(candidate.trajectory) for candidate in self._candidates]
        self._choose = _chooser(self._candidates, selector)
        self._orders, self.exact = orders_of(len(self._candidates), seed)
        self._whole = [self._choose(order, len(order), None) for order in self._orders.tolist()]

    def in_waves(self, plan: StoppingPlan | None, known: _Known) -> Row:
        """The figures of a plan in waves."""
        looks = _looks(plan, self._candidates)
        rows = []
        for order, whole_n in zip(self._orders.tolist(), self._whole, strict=True):
            waves, among = self._course(plan, order, looks, known)
            started = sum(waves)
            winner = self._choose(order, started, among)
            lengths = [self._lengths[which] for which in order[:started]]
            ends = list(accumulate(waves))
            longest = sum(max(lengths[end - wave : end]) for wave, end in zip(waves, ends, strict=True))
            rows.append((self._verdict(order, winner), sum(lengths), longest, started, winner == whole_n))
        return tuple(np.mean(rows, axis=0).tolist())

    def at_once(self, plan: StoppingPlan) -> Row:
        """The figures where all start, and the rest is cancelled."""
        rows = []
        for order, whole_n in zip(self._orders.tolist(), self._whole, strict=True):
            done = replay([self._candidates[which] for which in order], plan, self._selector, cancel=True)
            verdict = self._verdict(order, done.winner)
            rows.append((verdict, done.tokens, done.length, done.started, done.winner == whole_n))
        return tuple(np.mean(rows, axis=0).tolist())

    def _verdict(self, order: Sequence[int], winner: int | None) -> float:
        return 0.0 if winner is None else float(self._correct[order[winner]])

    def _course(
        self, plan: StoppingPlan | None, order: Sequence[int], looks: Sequence[int] | None, known: _Known
    ) -> _Course:
        pattern = None if looks is None else _pattern([looks[which] for which in order])
        course = None if pattern is None else known.get(pattern)
        if course is None:
            run = in_waves(in_order([self._candidates[which] for which in order]), plan)
            course = _Course(tuple(run.waves), None if run.stop is None else run.stop.among)
            if pattern is not None:
                known[pattern] = course
        return course


def _looks(plan: StoppingPlan | None, candidates: Sequence[Candidate]) -> list[int] | None:
    """Each rollout as the plan sees it: rollouts that look alike can change places. ``None`` where nobody knows."""
    if plan is None:
        return [0] * len(candidates)
    ended = [candidate.error is None for candidate in candidates]
    if type(plan) is ScoreThreshold:
        scores = [plan.score(candidate) if there else None for candidate, there in zip(candidates, ended, strict=True)]
        looks = [_NONE if score is None or not plan.passes(score) else 0 for score in scores]
    elif isinstance(plan, Agreement | Beta | OutOfReach) and type(plan) in (Agreement, Beta, OutOfReach):
        answers: dict[Hashable, int] = {}
        given = [answer_of(c, plan.normalize) if there else None for c, there in zip(candidates, ended, strict=True)]
        looks = [_NONE if answer is None else answers.setdefault(answer, len(answers)) for answer in given]
    else:
        return None
    return [look if there else _FAILED for look, there in zip(looks, ended, strict=True)]


_NONE, _FAILED = -1, -2


def _pattern(looks: Sequence[int]) -> tuple[int, ...]:
    """The same with the answers numbered as they come."""
    numbers = {_NONE: _NONE, _FAILED: _FAILED}
    return tuple(numbers.setdefault(look, len(numbers)) for look in looks)


def _chooser(candidates: Sequence[Candidate], selector: Selector) -> Choose:
    """``choose(order, started, among)``: the place of the winner, as ``rank`` and ``taken`` have it.

    What our selectors make of a rollout does not depend on its siblings: it is asked for once.
    """
    ended = [candidate.error is None for candidate in candidates]
    best: Callable[[dict[int, int], Sequence[int] | None], int | None]
    if isinstance(selector, VoteSelector) and type(selector).select is VoteSelector.select:
        ballots = [selector.ballot(c) if selector.entrants([c]) else None for c in candidates]

        def best(there: dict[int, int], among: Sequence[int] | None) -> int | None:
            cast = {place: ballot for place, which in there.items() if (ballot := ballots[which]) is not None}
            return (
                next((place for place in selector.count(cast).order if among is None or place in among), None)
                if cast
                else None
            )

    elif isinstance(selector, ScoreSelector) and type(selector).select is ScoreSelector.select:
        sign = 1 if selector.lower_is_better else -1
        scores = [selector.score(c) if selector.entrants([c]) else None for c in candidates]

        def best(there: dict[int, int], among: Sequence[int] | None) -> int | None:
            may = [place for place, which in there.items() if scores[which] is not None]
            may = may if among is None else [place for place in may if place in among]
            return min(may, key=lambda place: (sign * (scores[there[place]] or 0.0), place), default=None)

    else:

        def best(there: dict[int, int], among: Sequence[int] | None) -> int | None:
            seen = [replace(candidates[which], index=place) for place, which in there.items()]
            return taken(rank(selector, seen, among), seen, among)

    def choose(order: Sequence[int], started: int, among: Sequence[int] | None) -> int | None:
        there = {place: which for place, which in enumerate(order[:started]) if ended[which]}
        winner = best(there, among) if there else None
        return next((place for place in there if among is None or place in among), None) if winner is None else winner

    return choose


@lru_cache(maxsize=8)
def orders_of(rollouts: int, seed: int) -> tuple[IntArray, bool]:
    """Orders of so many rollouts, shape ``(D, rollouts)``, and whether they are all there are."""
    if rollouts < 20 and math.factorial(rollouts) <= MOST_ORDERS:
        return np.array(list(permutations(range(rollouts)))), True
    rng = np.random.default_rng(seed)
    turns = (np.arange(rollouts)[:, np.newaxis] + np.arange(rollouts)) % rollouts
    drawn = [rng.permutation(rollouts)[turns] for _ in range(math.ceil(DRAWN_ORDERS / rollouts))]
    return np.concatenate(drawn), False
