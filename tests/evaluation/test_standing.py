from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_families import ByScore

from ec_agent import Candidate, Ranking, Trajectory
from ec_agent.errors import ConfigError
from ec_agent.evaluation.statistics.standing import Standing, standing
from ec_agent.selectors import MajorityVote


def candidates(scores, errors=()):
    return [
        Candidate(index, Trajectory(), final_action=score, error="boom" if index in errors else None)
        for index, score in enumerate(scores)
    ]


BY_ACTION = ByScore("by_action", lambda c: c.final_action)


class Fixed:
    name = "fixed"
    signals = ()

    def __init__(self, order, scores=None, warnings=()):
        self.ranking = Ranking(order, scores or {}, {}, warnings)

    def select(self, candidates):
        return self.ranking


def test_levels_are_shared_by_equal_scores():
    found = standing(candidates([1.0, 3.0, 1.0, 3.0, 2.0]), BY_ACTION)
    assert found.levels.tolist() == [2, 0, 2, 0, 1]
    assert found.picked == (1, 3)
    assert not found.fell_back
    assert found.accuracy(np.array([0.0, 1.0, 0.0, 0.0, 1.0])) == 0.5


def test_ended_but_unranked_come_after_the_ranked_and_failed_ones_last():
    found = standing(candidates([None, 3.0, 5.0, 3.0], errors=[2]), BY_ACTION)
    assert found.levels.tolist() == [1, 0, 2, 0]
    assert found.ranked.tolist() == [False, True, False, True]


def test_where_nothing_is_ranked_any_rollout_that_ended_is_picked():
    found = standing(candidates([None, None, None], errors=[0]), BY_ACTION)
    assert found.fell_back
    assert found.picked == (1, 2)
    assert found.accuracy(np.array([0.0, 1.0, 0.0])) == found.chance(np.array([0.0, 1.0, 0.0])) == 0.5


def test_where_all_failed_all_are_picked():
    found = standing(candidates([None, None], errors=[0, 1]), BY_ACTION)
    assert found.fell_back
    assert found.accuracy(np.zeros(2)) == 0.0


def test_a_ranking_without_scores_has_no_ties():
    assert standing(candidates([0, 0, 0]), Fixed((2, 0, 1))).levels.tolist() == [1, 2, 0]


def test_the_lower_score_is_better_where_the_order_says_so():
    found = standing(candidates([0, 0, 0]), Fixed((2, 0, 1), {0: 0.5, 1: 0.5, 2: 0.1}, ("mind the gap",)))
    assert found.levels.tolist() == [1, 1, 0]
    assert found.warnings == ("mind the gap",)


def test_indices_need_not_be_positions():
    group = [Candidate(7, Trajectory(), final_action=1.0), Candidate(2, Trajectory(), final_action=2.0)]
    assert standing(group, BY_ACTION).picked == (1,)


@pytest.mark.parametrize("order", [(0, 0), (5,), (1,)])
def test_a_broken_ranking_is_an_error_of_ours(order):
    with pytest.raises(ConfigError, match=r"fixed.*at most once"):
        standing(candidates([1.0, 1.0], errors=[1]), Fixed(order))


def test_candidates_need_an_index_each():
    with pytest.raises(ConfigError, match="each its own"):
        standing([Candidate(0, Trajectory()), Candidate(0, Trajectory())], BY_ACTION)
    with pytest.raises(ConfigError, match="one or more"):
        standing([], BY_ACTION)


@given(st.data())
def test_chance_is_the_mean_over_all_orders_of_the_levels(data):
    size = data.draw(st.integers(1, 6))
    levels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)))
    levels = np.unique(levels, return_inverse=True)[1]
    correct = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=size, max_size=size)))
    slow = []
    for order in permutations(range(levels.max() + 1)):
        shuffled = Standing(np.array(order)[levels], np.ones(size, bool), np.zeros(size))
        slow.append(shuffled.accuracy(correct))
    assert Standing(levels, np.ones(size, bool), np.zeros(size)).chance(correct) == pytest.approx(np.mean(slow))


def test_a_score_that_knows_nothing_is_below_pass_1_where_the_right_answer_is_the_frequent_one():
    # Seven alike and right, one odd and wrong: a random score picks the odd one half of the time.
    found = standing(candidates([1.0] * 7 + [0.5]), BY_ACTION)
    assert found.chance(np.array([1.0] * 7 + [0.0])) == 0.5


def test_votes_that_tie_share_the_pick():
    assert standing(candidates(["a", "b", "b", "a", "c"]), MajorityVote()).picked == (0, 1, 2, 3)
