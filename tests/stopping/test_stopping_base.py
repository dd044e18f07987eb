from __future__ import annotations

import numpy as np
import pytest

from ec_agent import ConfigError, More, Stop, StoppingPlan
from ec_agent.stopping import Agreement


def test_what_a_plan_answers():
    assert Stop("3 of 3").among is None
    assert Stop("3 of 3", [2, 0, 2]).among == (2, 0)
    assert Stop("3 of 3", np.array([1, 2])).among == (1, 2)
    assert all(type(index) is int for index in Stop("3 of 3", np.array([1, 2])).among)
    assert More(3).count == More(np.int64(3)).count == 3


@pytest.mark.parametrize("reason", ["", "  ", None, 3, b"x"])
def test_a_reason_is_a_text(reason):
    with pytest.raises(ConfigError, match=r"reason is .*; give a text that says what was seen"):
        Stop(reason)


@pytest.mark.parametrize("among", [[], (), [-1], [0.5], [True], "01", 3, {0: 1}, [None]])
def test_among_is_some_indices(among):
    with pytest.raises(ConfigError, match=r"among.*; give "):
        Stop("seen", among)


@pytest.mark.parametrize("count", [0, -1, 0.5, None, "1", True])
def test_more_is_at_least_one(count):
    with pytest.raises(ConfigError, match=r"count is .*; give a whole number of at least 1"):
        More(count)


def test_the_protocol_is_one_method():
    class Own:
        def enough(self, candidates, running, n):
            return More(1)

    assert isinstance(Own(), StoppingPlan)
    assert isinstance(Agreement(), StoppingPlan)
    assert not isinstance(object(), StoppingPlan)
