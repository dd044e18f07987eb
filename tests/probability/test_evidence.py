"""What a choice shows: told once more slowly, on unlike selectors; and the same live as in a replay."""

from __future__ import annotations

import math

import kit
import numpy as np
import pytest
from calibrated import candidate, candidates

from ec_agent import Candidate, ConfigError, Trajectory, best_of_n
from ec_agent.evaluation import TaskResult
from ec_agent.probability.evidence import Evidence, evidence_of, replayed_evidence
from ec_agent.selectors import (
    CentroidWeightedVote,
    LowestCentroid,
    MajorityVote,
    MeanEntropy,
    MeanLogprob,
    NumberAnswer,
    Shortest,
)
from ec_agent.stopping import Agreement, Beta
from ec_agent.testing import Reply, ScriptedChatModel

pytestmark = kit.SAME
N = 6
SELECTORS = [
    MajorityVote(),
    MajorityVote(normalize=NumberAnswer()),
    CentroidWeightedVote(),
    LowestCentroid(),
    MeanEntropy(),
    MeanLogprob(),
    Shortest(),
]


def of(answers, selector, plan=None, **each):
    found = replayed_evidence(candidates(answers, **each), selector, plan)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("answers", "agreement", "score", "margin"),
    [
        ("aaab", 3 / 4, 3 / 4, 1 / 2),
        ("aabb", 1 / 2, 1 / 2, 0.0),
        ("aaaa", 1.0, 1.0, math.inf),
        ("abcd", 1 / 4, 1 / 4, 0.0),
        ("aa!b", 2 / 4, 2 / 3, 1 / 3),  # a failed rollout has no vote, and agrees with nobody
        ("!!!a", 1 / 4, 1.0, math.inf),
    ],
)
def test_a_vote_shows_share_lead_and_agreement(answers, agreement, score, margin):
    found, winner = of(answers, MajorityVote())
    assert (found.agreement, found.score, found.margin) == pytest.approx((agreement, score, margin))
    assert answers[winner] == "a"
    assert (found.coverage, found.scored, found.length) == (None, 4 - answers.count("!"), math.log(10))


def test_a_score_leads_the_best_rollout_with_another_answer():
    """The receipt's margin is that to the next rollout, whether or not it says the same."""
    group = [candidate(i, a, entropy=e) for i, (a, e) in enumerate([("x", 0.2), ("x", 0.3), ("y", 0.7), ("z", 0.5)])]
    found, winner = replayed_evidence(group, MeanEntropy())
    assert winner == 0
    assert (found.score, found.margin, found.agreement) == pytest.approx((0.2, 0.3, 0.5))
    same, _ = replayed_evidence(group[:2], MeanEntropy())
    assert same.margin == math.inf


def test_coverage_length_and_models_are_the_winners():
    group = [
        candidate(0, "a", entropy=0.9, tokens=30, model="other"),
        candidate(1, "b", entropy=0.1, tokens=20, missing=5, model="mine"),
    ]
    found, winner = replayed_evidence(group, MeanEntropy())
    assert (winner, found.coverage, found.models) == (1, 0.75, ("mine",))
    assert math.exp(found.length) == pytest.approx(20)


def test_what_is_not_known_is_none():
    nothing = [Candidate(0, Trajectory(), " "), Candidate(1, Trajectory(), None)]
    found, winner = replayed_evidence(nothing, MajorityVote())
    assert (winner, found) == (0, Evidence(None, None, None, None, None, 0))
    unscored = [Candidate(i, Trajectory.from_entropies([0.1] * 3), "a", unscored="coverage") for i in range(2)]
    found, _ = replayed_evidence(unscored, MeanEntropy())
    assert (found.score, found.margin, found.agreement, found.scored) == (None, None, 1.0, 0)
    assert replayed_evidence(candidates("!!"), MajorityVote()) is None


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_no_finite_number_is_none(odd):
    found = evidence_of(candidates("ab"), (0, 1), {0: odd, 1: 1.0}, 0, MeanEntropy())
    assert (found.score, found.margin, found.scored) == (None, None, 1)


def test_with_a_plan_only_those_that_started_are_looked_at():
    found, winner = of("aabbbb", MajorityVote(), Agreement([2, 4]))
    assert (winner, found.agreement, found.scored) == (0, 1.0, 2)
    found, winner = of("aabbbb", MajorityVote())
    assert (winner, found.agreement, found.scored) == (2, 4 / 6, 6)


def test_a_normalize_that_fails_says_so():
    group = candidates("ab")
    with pytest.raises(ConfigError, match="normalize failed"):
        evidence_of(group, (0, 1), {0: 1.0, 1: 1.0}, 0, MajorityVote(normalize=lambda action: 1 / 0))


class Rollouts:
    """What each rollout says, drawn: answers in several spellings, lengths, failures, answers without logprobs."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.answers = [["1", "1.0", "it is 1", "2", "no"][kind] for kind in rng.integers(0, 5, N)]
        self.lengths = rng.integers(4, 12, N).tolist()
        self.peaks = [int(rng.integers(0, length)) for length in self.lengths]
        self.fail = set(np.flatnonzero(rng.random(N) < 0.2).tolist()) - {int(rng.integers(N))}
        self.mute = set(np.flatnonzero(rng.random(N) < 0.1).tolist())

    def reply(self, index):
        if index in self.fail:
            raise LookupError(f"rollout {index} is lost")
        entropies = None if index in self.mute else kit.peak(self.peaks[index], self.lengths[index])
        return Reply(self.answers[index], entropies=entropies, tokens=self.lengths[index])

    def graph(self):
        return kit.chat(ScriptedChatModel(lambda messages, index: self.reply(index)))


def live(run, rollouts, selector, plan=None):
    """The evidence of a live choice, read from its receipt and its rollouts."""
    node = best_of_n(rollouts.graph(), n=N, selector=selector, stop=plan, on_unscored="first")
    result = run.run(node, {"messages": "go"})
    told = result.selection
    group = [
        Candidate(row.index, result.trajectories[row.index], result.final_actions[row.index], error=row.error)
        for row in told.candidates
    ]
    return evidence_of(group, told.order, {row.index: row.score for row in told.candidates}, told.winner, selector)


@pytest.mark.parametrize("selector", SELECTORS, ids=lambda selector: selector.name)
@pytest.mark.parametrize("plan", [None, Agreement([2, 2, 2], 0.6), Beta(0.9)], ids=["all", "agreement", "beta"])
def test_a_replay_shows_what_the_live_choice_showed(run, selector, plan):
    rollouts = Rollouts(len(selector.name))
    whole = run.run(best_of_n(rollouts.graph(), n=N, selector=selector, on_unscored="first"), {"messages": "go"})
    stored = [
        Candidate(row.index, whole.trajectories[row.index], whole.final_actions[row.index], error=row.error)
        for row in whole.selection.candidates
    ]
    read = TaskResult("t", stored, [0.0] * N, min_coverage=0.5).read_by(selector).candidates
    found, _ = replayed_evidence(read, selector, plan)
    assert found == live(run, rollouts, selector, plan)
