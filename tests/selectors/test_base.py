from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, LowestCentroid, Ranking, Selector

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    ("unscored", "error", "eligible"),
    [
        (None, None, True),
        ("coverage", None, False),
        (None, "timeout", False),
        ("coverage", "timeout", False),
        ("", "", False),
    ],
)
def test_eligible_is_ended_and_scorable(unscored, error, eligible):
    assert Candidate(0, Trajectory(), unscored=unscored, error=error).eligible is eligible


def test_a_minimal_candidate_is_eligible_with_default_settings():
    candidate = Candidate(3, Trajectory())
    assert candidate.eligible
    assert candidate.config == HEPConfig()
    assert candidate.final_action is None


def test_a_candidate_cannot_tell_whether_it_was_right():
    # Selectors never see labels or rewards: there is no place for one, and none can be added. The probability is what a
    # calibration makes of the choice, after it.
    assert [field.name for field in fields(Candidate)] == [
        "index",
        "trajectory",
        "final_action",
        "config",
        "unscored",
        "error",
        "question",
        "probability",
    ]
    candidate = Candidate(0, Trajectory())
    with pytest.raises((AttributeError, TypeError)):
        candidate.reward = 1.0
    with pytest.raises(FrozenInstanceError):
        candidate.error = "x"
    with pytest.raises(TypeError):
        Candidate(0, Trajectory(), label=True)


def test_a_ranking_is_frozen():
    ranking = Ranking(order=(1, 0), scores={0: 0.5, 1: 0.25}, reasons={})
    assert ranking.warnings == ()
    with pytest.raises(FrozenInstanceError):
        ranking.order = (0, 1)


class Shortest:
    name = "shortest"
    signals = ("entropy",)

    def select(self, candidates):
        scores = {c.index: float(len(c.trajectory)) for c in candidates if c.eligible}
        return Ranking(tuple(sorted(scores, key=scores.__getitem__)), dict(scores), {})


def test_any_object_of_that_shape_is_a_selector():
    assert isinstance(Shortest(), Selector)
    assert isinstance(LowestCentroid(), Selector)


@pytest.mark.parametrize("missing", ["name", "signals", "select"])
def test_an_object_that_lacks_something_is_none(missing):
    parts = {name: getattr(Shortest, name) for name in ("name", "signals", "select") if name != missing}
    assert not isinstance(type("Partial", (), parts)(), Selector)
