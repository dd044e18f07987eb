from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate, Ranking, ScoreSelector

pytestmark = pytest.mark.filterwarnings("error")


@dataclass(frozen=True, slots=True)
class Loudest(ScoreSelector):
    """A selector of somebody else, in a dozen lines."""

    label: ClassVar[str] = "loudest"
    lower_is_better: ClassVar[bool] = False
    unscored_reason: ClassVar[str] = "silent"
    signals: ClassVar[tuple[str, ...]] = ()

    mark: str = "!"

    def score(self, candidate):
        return candidate.final_action.count(self.mark) or None


def test_a_selector_of_your_own():
    group = [Candidate(i, Trajectory(), action) for i, action in enumerate(["a!", "b", "c!!", "d!"])]
    assert Loudest().select(group) == Ranking((2, 0, 3), {0: 1, 1: None, 2: 2, 3: 1}, {1: "silent"})
    assert (Loudest().name, Loudest("?").name) == ("loudest", "loudest(mark=?)")


def test_an_incomplete_selector_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (ScoreSelector,), {"label": "half", "lower_is_better": True})()
