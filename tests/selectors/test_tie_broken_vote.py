from __future__ import annotations

import drawn
import numpy as np
import pytest
import slowly
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import (
    Candidate,
    DeepConfMean,
    MajorityVote,
    MeanEntropy,
    MeanLogprob,
    SelfCertainty,
    TieBrokenVote,
    selector_named,
)

pytestmark = pytest.mark.filterwarnings("error")

BY = {
    "mean_entropy": (MeanEntropy(), 1),
    "mean_logprob": (MeanLogprob(), -1),
    "self_certainty": (SelfCertainty(), -1),
    "deepconf_mean": (DeepConfMean(), -1),
}


def group_of(*rollouts):
    """``(answer, entropies)`` each; ``None`` for a rollout without logprobs."""
    return [
        Candidate(index, Trajectory([Call([], tokens=4)] if line is None else [Call(line)]), answer)
        for index, (answer, line) in enumerate(rollouts)
    ]


def test_what_it_says_of_itself():
    selector = TieBrokenVote()
    assert (selector.name, selector.signals, selector.extra_signals) == ("tie_broken_vote", (), ("entropy",))
    assert TieBrokenVote(ties="first_seen").name == "tie_broken_vote(ties=first_seen)"
    assert TieBrokenVote(ties="first_seen").extra_signals == ()
    assert TieBrokenVote(ties="mean_logprob").extra_signals == ("logprob",)
    assert selector_named("tie_broken_vote", ties="deepconf_mean", normalize="number").extra_signals == ("confidence",)


def test_of_equally_frequent_answers_the_one_with_the_surest_rollout_wins():
    group = group_of(("a", [0.5]), ("b", [0.9]), ("c", [0.0]), ("a", [0.6]), ("b", [0.1]))
    ranking = TieBrokenVote().select(group)
    assert ranking.order == (1, 4, 0, 3, 2)
    assert ranking.scores == {0: 0.4, 1: 0.4, 2: 0.2, 3: 0.4, 4: 0.4}
    assert ranking.tie_breaks == {0: 0.5, 1: 0.1, 2: 0.0, 3: 0.5, 4: 0.1}
    assert ranking.warnings == ()
    assert MajorityVote().select(group).order[0] == 0


def test_more_votes_beat_a_surer_rollout():
    assert TieBrokenVote().select(group_of(("b", [0.0]), ("a", [2.0]), ("a", [2.0]))).order == (1, 2, 0)


def test_where_no_two_agree_the_surest_rollout_wins_and_the_warning_says_so():
    ranking = TieBrokenVote().select(group_of(("a", [0.5]), ("b", [0.2]), ("c", [0.7])))
    assert ranking.order == (1, 0, 2)
    (said,) = ranking.warnings
    assert "the one that the tie-break prefers was taken" in said


@pytest.mark.parametrize(
    ("lines", "first", "lacking"),
    [
        ((None, None), 0, 2),  # no logprobs anywhere
        ((None, [0.5]), 1, 1),  # an answer that cannot be compared comes last
        (([np.nan, np.nan, np.nan, 0.1], [0.5]), 1, 1),  # a quarter of the tokens is too little
        (([], [0.5]), 1, 1),  # of unknown length
    ],
    ids=["none", "one", "little", "unknown"],
)
def test_without_logprobs_all_vote_and_the_tie_is_told(lines, first, lacking):
    ranking = TieBrokenVote().select(group_of(("a", lines[0]), ("b", lines[1]), ("a", None), ("b", None)))
    assert len(ranking.order) == 4
    assert ranking.order[0] == first
    (said,) = ranking.warnings
    assert said.startswith(f"2 answers have equally many votes, and {lacking} of them came from rollouts without")


def test_without_a_tie_at_the_top_nothing_is_told():
    ranking = TieBrokenVote().select(group_of(("a", None), ("a", None), ("b", None), ("c", None)))
    assert (ranking.order, ranking.warnings) == ((0, 1, 2, 3), ())


def test_one_candidate():
    assert TieBrokenVote().select(group_of(("a", None))).order == (0,)
    assert TieBrokenVote().select(group_of((None, [0.1]))).reasons == {0: "no_vote"}


@pytest.mark.parametrize("ties", [None, "entropy", "lowest_centroid", 1, MeanEntropy()], ids=str)
def test_what_breaks_ties_has_a_name(ties):
    with pytest.raises(ConfigError, match=r"ties is .*; give one of 'mean_entropy'"):
        TieBrokenVote(ties=ties)


@given(drawn.groups, st.sampled_from([*BY, "first_seen"]))
@own.examples(200)
def test_it_counts_and_breaks_ties(group, ties):
    ranking = TieBrokenVote(ties=ties).select(group)
    voters = [c for c in group if c.error is None]
    answers = [(c.final_action or "").strip() or None for c in voters]
    breaks = []
    for c in voters:
        means = None
        if ties in BY:
            signal, sign = BY[ties][0].signals[0], BY[ties][1]
            line = drawn.timeline(c, signal)
            known = [value for value in line if value is not None]
            counted = all(call.tokens is not None for call in c.trajectory.calls)
            means = float(np.mean(known)) * sign if known and counted and 2 * len(known) >= len(line) else None
        breaks.append(means)
    assert ranking.order == tuple(voters[place].index for place in slowly.broken_vote(answers, breaks))
    assert ranking.scores == MajorityVote().select(group).scores
    assert drawn.same(TieBrokenVote(ties=ties).select(group[::-1]), ranking)
    if ties == "first_seen":
        assert drawn.same(ranking, MajorityVote().select(group))
