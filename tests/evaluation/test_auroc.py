from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from ec_agent.evaluation.statistics.auroc import task_auroc
from ec_agent.evaluation.statistics.standing import Standing

rollouts = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.integers(1, 2)), max_size=9
)


def made(rows):
    levels, correct, ranked, groups = (np.array(column) for column in zip(*rows, strict=True))
    return Standing(levels, ranked, np.zeros(len(levels))), correct.astype(float), groups


@given(rollouts.filter(bool), st.booleans())
def test_it_is_the_share_of_pairs(rows, grouped):
    standing, correct, groups = made(rows)
    wins = pairs = 0.0
    for i, (level, right, ranked, group) in enumerate(rows):
        for j, (other_level, other_right, other_ranked, other_group) in enumerate(rows):
            if i == j or not ranked or not other_ranked or right <= other_right:
                continue
            if grouped and group != other_group:
                continue
            pairs += 1
            wins += 1.0 if level < other_level else 0.5 if level == other_level else 0.0
    found = task_auroc(standing, correct, groups if grouped else None)
    assert found == (None if pairs == 0 else pytest.approx(wins / pairs))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=12))
def test_it_is_mann_whitneys_u(rows):
    levels = np.array([level for level, _ in rows])
    right = np.array([right for _, right in rows])
    found = task_auroc(Standing(levels, np.ones(len(rows), bool), levels * 0.0), right.astype(float))
    if right.all() or not right.any():
        assert found is None
    else:
        u = mannwhitneyu(-levels[right], -levels[~right]).statistic
        assert found == pytest.approx(u / (right.sum() * (~right).sum()))


def test_unranked_rollouts_take_no_part():
    standing = Standing(np.array([0, 1, 2]), np.array([True, True, False]), np.zeros(3))
    assert task_auroc(standing, np.array([0.0, 0.0, 1.0])) is None
    assert task_auroc(standing, np.array([1.0, 0.0, 1.0])) == 1.0
