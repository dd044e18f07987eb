from __future__ import annotations

import numpy as np
import pytest
from langchain_core.messages import AIMessage

from ec_agent import Call, Candidate, Trajectory
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics.effort import Spread, effort


def candidate(index, action=None, calls=((0.5,),), **kind):
    return Candidate(index, Trajectory.from_entropies(*calls), final_action=action, **kind)


def counted(*groups):
    return effort([TaskResult(f"t{i}", tuple(group), np.zeros(len(group))) for i, group in enumerate(groups)])


def test_failures_and_what_cannot_be_scored():
    found = counted(
        [candidate(0, error="timeout"), candidate(1, error="boom"), candidate(2)],
        [candidate(0, error="timeout"), candidate(1, unscored="coverage")],
    )
    assert (found.rollouts, found.failed) == (5, 3)
    assert found.failures == {"timeout": 2, "boom": 1}
    assert found.unscored == {"coverage": 1}


def test_tokens_and_calls_are_of_the_rollouts_that_ended():
    found = counted(
        [candidate(0, calls=[[0.5] * 4, [0.5] * 2]), candidate(1, calls=[[0.5] * 2]), candidate(2, error="x")]
    )
    assert found.tokens == Spread(mean=4.0, low=pytest.approx(2.2), median=4.0, high=pytest.approx(5.8))
    assert found.calls.mean == 1.5


def test_coverage_and_where_it_is_not_known():
    group = [
        Candidate(0, Trajectory([Call(np.array([0.5, np.nan]))])),
        Candidate(1, Trajectory([Call(np.array([0.5]))])),
        Candidate(2, Trajectory([Call(np.empty(0))])),
    ]
    found = counted(group)
    assert found.coverage == 0.75
    assert found.coverage_unknown == 1


def test_distinct_is_by_final_action_and_tokens():
    two, three = [[0.5] * 2], [[0.5] * 3]
    found = counted([candidate(0, "a", two), candidate(1, "a", two), candidate(2, "a", three), candidate(3, "b", two)])
    assert found.distinct == 0.75
    assert found.all_alike == 0
    assert counted([candidate(0, "a"), candidate(1, "a")], [candidate(0, "a")]).all_alike == 1


@pytest.mark.parametrize(
    ("one", "other", "distinct"),
    [
        (AIMessage("x", id="1"), AIMessage("x", id="2"), 0.5),
        (AIMessage("x"), AIMessage("y"), 1.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, 0.5),
        (
            AIMessage("", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "1"}]),
            AIMessage("", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "2"}]),
            0.5,
        ),
        (
            AIMessage("", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "1"}]),
            AIMessage("", tool_calls=[{"name": "f", "args": {"x": 2}, "id": "1"}]),
            1.0,
        ),
    ],
)
def test_rollouts_that_differ_in_ids_alone_are_not_distinct(one, other, distinct):
    assert counted([candidate(0, one), candidate(1, other)]).distinct == distinct


def test_where_no_rollout_ended_there_are_no_figures():
    found = counted([candidate(0, error="x")])
    assert (found.distinct, found.tokens, found.calls, found.coverage) == (None, None, None, None)
