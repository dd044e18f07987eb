from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from stored_families import ByScore, stored

from ec_agent import HEPConfig
from ec_agent.errors import ConfigError
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.plan_replays import DRAWN_ORDERS, Replayer, orders_of
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import (
    Candidate,
    CentroidWeightedVote,
    ConfidenceGradient,
    LowestCentroid,
    MajorityVote,
    MeanLogprob,
    Shortest,
    TailEntropy,
    TieBrokenVote,
)
from ec_agent.stopping import Agreement, Beta, More, OutOfReach, ScoreThreshold, Stop, replay

pytestmark = pytest.mark.filterwarnings("error")


class Own:
    """A plan of somebody's own: it stops at the second rollout, or at one of three tokens or fewer."""

    def enough(self, candidates, running, n):
        short = tuple(c.index for c in candidates if len(c.trajectory) <= 3)
        return Stop("seen", short or None) if short or len(candidates) > 1 else More(1)


PLANS = [
    None,
    OutOfReach(),
    OutOfReach([2, 1]),
    Agreement([2, 2], 0.75),
    Beta(0.7),
    ScoreThreshold(-0.5),
    ScoreThreshold(6, Shortest(), [2]),
    Own(),
]
SELECTORS = [
    MajorityVote(),
    LowestCentroid(),
    MeanLogprob(),
    CentroidWeightedVote(),
    TieBrokenVote(),
    ConfidenceGradient(power=0.9),
    TailEntropy(least=1),
    ByScore("own", lambda c: float(len(c.trajectory))),
]


def drawn_task(seed, rollouts=5):
    """Rollouts of all kinds: failed, without a vote, without logprobs, with equal answers and scores."""
    rng = np.random.default_rng(seed)
    candidates = []
    for index in range(rollouts):
        tokens = int(rng.integers(1, 9))
        logprobs = -rng.choice([0.25, 0.5, 1.0], tokens)
        if rng.random() < 0.15:
            logprobs[:] = np.nan
        call = Call(rng.choice([0.0, 0.1, 2.0], tokens), signals={"logprob": logprobs, "confidence": -logprobs})
        action = [None, "a", "b", "b", "c"][rng.integers(5)]
        failed = "broke" if rng.random() < 0.15 else None
        candidates.append(Candidate(index, Trajectory([call]), action, HEPConfig(10, 50, 2), error=failed))
    correct = [0.0 if c.error else float(rng.integers(0, 2)) for c in candidates]
    return TaskResult(f"t{seed}", tuple(candidates), correct, min_coverage=0.5)


def slowly(result, plan, selector, orders, cancel):
    """Each order replayed for itself."""
    read, rows = result.read_by(selector), []
    for order in orders:
        candidates = [read.candidates[which] for which in order]
        done, whole = replay(candidates, plan, selector, cancel=cancel), replay(candidates, None, selector)
        verdict = 0.0 if done.winner is None else result.correct[order[done.winner]]
        rows.append((verdict, done.tokens, done.length, done.started, done.winner == whole.winner))
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("selector", SELECTORS, ids=lambda selector: selector.name)
@pytest.mark.parametrize("place", range(len(PLANS)))
def test_it_is_the_replay_of_every_order(place, selector):
    plan, tasks = PLANS[place], [drawn_task(seed, 4) for seed in range(12)]
    found = Replayer(tasks, selector).play(plan)
    assert found.exact
    for row, task in enumerate(tasks):
        expected = slowly(task, plan, selector, list(permutations(range(4))), False)
        got = [getattr(found, name)[row] for name in ("accuracy", "tokens", "length", "started", "same_winner")]
        assert got == pytest.approx(expected.tolist())


@pytest.mark.parametrize("plan", [OutOfReach(), Own(), ScoreThreshold(-0.5)], ids=["votes", "own", "score"])
def test_of_many_rollouts_orders_are_drawn_and_each_comes_first_as_often(plan):
    orders, exact = orders_of(8, 3)
    assert (len(orders), exact) == (DRAWN_ORDERS, False)
    assert (np.sort(orders, axis=1) == np.arange(8)).all()
    assert np.array_equal(np.bincount(orders[:, 0]), np.full(8, DRAWN_ORDERS // 8))
    task = drawn_task(1, 8)
    found = Replayer([task], MajorityVote(), seed=3).play(plan)
    expected = slowly(task, plan, MajorityVote(), orders.tolist(), False)
    assert not found.exact
    assert [found.accuracy[0], found.tokens[0], found.length[0]] == pytest.approx(expected[:3].tolist())
    other = Replayer([task], MajorityVote(), seed=4).play(plan)
    assert other.tokens[0] == pytest.approx(found.tokens[0], rel=0.2)


def test_all_at_once_and_all_n_meet_the_same_orders():
    """A vote that is tied to the end goes to the first seen: another one in every order, with a plan and without."""
    task = drawn_task(2, 8)
    tied = [Candidate(c.index, c.trajectory, "ab"[c.index % 2]) for c in task.candidates]
    replayer = Replayer([TaskResult("t", tied, [float(c.index % 2) for c in tied])], MajorityVote())
    never = replayer.play(Beta(0.999), cancel=True)
    assert never.accuracy.tolist() == replayer.play(None).accuracy.tolist()
    assert never.same_winner.tolist() == [1.0]


def test_all_at_once():
    tasks = [drawn_task(seed, 4) for seed in range(6)]
    found = Replayer(tasks, MajorityVote()).play(Agreement([2]), cancel=True)
    for row, task in enumerate(tasks):
        expected = slowly(task, Agreement([2]), MajorityVote(), list(permutations(range(4))), True)
        assert [found.accuracy[row], found.tokens[row], found.length[row]] == pytest.approx(expected[:3].tolist())
    whole = Replayer(tasks, MajorityVote()).play(None, cancel=True)
    assert np.array_equal(whole.tokens, Replayer(tasks, MajorityVote()).play(None).tokens)


@pytest.mark.parametrize("family", ["red2", "bfcl"])
def test_the_certain_plan_never_changes_the_winner_of_a_vote(family):
    replayer = Replayer(stored(family)[::4], MajorityVote())
    whole, certain = replayer.play(None), replayer.play(OutOfReach([4, 1]))
    assert (certain.same_winner == 1).all()
    assert np.array_equal(certain.accuracy, whole.accuracy)
    one = replayer.play(OutOfReach([1]))
    assert np.array_equal(certain.tokens, one.tokens)
    assert np.array_equal(replayer.play(OutOfReach()).tokens, one.tokens)
    assert (certain.tokens < whole.tokens).mean() > 0.5


@pytest.mark.parametrize(
    ("results", "selector", "seed", "said"),
    [
        ([], MajorityVote(), 0, "results is empty; give"),
        (["t"], MajorityVote(), 0, "a list of results"),
        ([drawn_task(0)], MajorityVote, 0, "selector is .*; give"),
        ([drawn_task(0)], MajorityVote(), -1, "seed is -1; give"),
        ([TaskResult("t", (), [])], MajorityVote(), 0, "task 't' has no rollouts; leave it out"),
    ],
)
def test_what_cannot_be_replayed(results, selector, seed, said):
    with pytest.raises(ConfigError, match=said):
        Replayer(results, selector, seed=seed)


def test_what_is_no_plan():
    replayer = Replayer([drawn_task(0)], MajorityVote())
    with pytest.raises(ConfigError, match="plan is 'beta'; give an object"):
        replayer.play("beta")
    with pytest.raises(ConfigError, match="cancel is 1; give"):
        replayer.play(Beta(), cancel=1)
