from __future__ import annotations

import numpy as np
import pytest
from ended import in_turn

from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import (
    Candidate,
    CentroidWeightedVote,
    DeepConfMean,
    LowestCentroid,
    MajorityVote,
    MeanEntropy,
    MeanLogprob,
    RawCentroid,
    Shortest,
)
from ec_agent.stopping import More, ScoreThreshold, Stop
from ec_agent.stopping.asking import ask, check_plan, signals_of

pytestmark = pytest.mark.filterwarnings("error")


def surely(*means, tokens=4):
    """A candidate for each mean logprob; ``None`` for one that brought none."""
    return [
        Candidate(
            index,
            Trajectory([Call([], tokens=tokens, signals={"logprob": [np.nan if mean is None else mean] * tokens})]),
        )
        for index, mean in enumerate(means)
    ]


def test_what_it_is_called_and_reads():
    plan = ScoreThreshold(-0.25)
    check_plan(plan)
    assert (plan.name, signals_of(plan)) == ("score_threshold(mean_logprob >= -0.25)", ("logprob",))
    other = ScoreThreshold(0.1, MeanEntropy(), [2, 1])
    assert (other.name, signals_of(other)) == ("score_threshold(mean_entropy <= 0.1, waves=(2, 1))", ("entropy",))
    assert signals_of(ScoreThreshold(20, Shortest())) == ()


def test_one_at_a_time_until_one_is_good_enough():
    plan = ScoreThreshold(-0.25)
    assert plan.enough((), 0, 8) == More(1)
    assert plan.enough(surely(-0.5, -0.26), 0, 8) == More(1)
    assert plan.enough(surely(-0.5, -0.25), 0, 8) == Stop("rollout 1 has a mean_logprob of -0.25", (1,))


def test_of_several_in_a_wave_the_selector_chooses():
    stop = ScoreThreshold(-0.25, waves=[4, 2]).enough(surely(-0.2, -0.5, -0.1, -0.3), 0, 8)
    assert stop == Stop("rollout 2 has a mean_logprob of -0.1", (0, 2))
    assert ScoreThreshold(-0.25, waves=[4, 2]).enough(surely(-0.5, -0.5, -0.3, -0.3), 0, 8) == More(2)


def test_the_selector_says_which_way_is_better():
    short = [Candidate(i, Trajectory([Call([0.1] * tokens)])) for i, tokens in enumerate((30, 20, 10))]
    assert ScoreThreshold(20, Shortest(), [3]).enough(short, 0, 8).among == (1, 2)
    assert ScoreThreshold(0.2, MeanEntropy()).enough(short[:1], 0, 8).among == (0,)
    assert ScoreThreshold(0.05, MeanEntropy()).enough(short[:1], 0, 8) == More(1)


def test_a_rollout_without_a_score_stops_nothing():
    assert ask(ScoreThreshold(-9), surely(None), 0, 3) == More(1)
    half = Trajectory([Call([], tokens=4, signals={"logprob": [-0.1, np.nan, np.nan, np.nan]})])
    assert ask(ScoreThreshold(-9), [Candidate(0, half)], 0, 3) == More(1)


def test_that_the_choosing_selector_cannot_use_it_does_not_matter():
    candidates = [Candidate(0, surely(-0.1)[0].trajectory, unscored="coverage")]
    assert ask(ScoreThreshold(-0.25), candidates, 0, 3).among == (0,)


def test_a_signal_that_was_not_kept_is_named():
    with pytest.raises(EcAgentError, match="confidence"):
        ask(ScoreThreshold(1, DeepConfMean()), surely(-0.1), 0, 3)


@pytest.mark.parametrize("selector", [LowestCentroid(), LowestCentroid("surprisal"), RawCentroid()])
def test_no_threshold_on_a_centroid(selector):
    with pytest.raises(ConfigError, match=r"selector is .*: a centroid is a position .*; give another score"):
        ScoreThreshold(0.3, selector)


@pytest.mark.parametrize("selector", [MajorityVote(), CentroidWeightedVote(), MeanLogprob, "mean_logprob", None])
def test_a_score_is_a_rollouts_own(selector):
    with pytest.raises(ConfigError, match=r"selector is .*; give a selector that scores each rollout on its own"):
        ScoreThreshold(0.3, selector)


@pytest.mark.parametrize("threshold", [None, "high", np.nan, np.inf, True])
def test_a_threshold_is_a_number(threshold):
    with pytest.raises(ConfigError, match="threshold is"):
        ScoreThreshold(threshold)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_what_is_said_of_it(seed):
    rng = np.random.default_rng(seed)
    means = [None if mean > 0.6 else -abs(float(mean)) for mean in rng.uniform(-1, 1, 7).round(1)]
    waves, threshold = rng.integers(1, 4, 3).tolist(), -float(np.round(rng.uniform(0, 0.4), 1))

    def decide(ended, to_come):
        good = {place for place, mean in ended if mean is not None and mean >= threshold}
        return good or None

    started, among = 0, None
    while started < 7 and among is None:
        said = ask(ScoreThreshold(threshold, waves=waves), surely(*means[:started]), 0, 7 - started)
        if isinstance(said, Stop):
            among = set(said.among)
        else:
            started += said.count
    assert (started, among) == in_turn(decide, means, waves)
