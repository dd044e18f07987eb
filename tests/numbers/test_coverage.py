"""The one rule by which a rollout is unscored."""

from __future__ import annotations

import numpy as np
import pytest

from ec_agent import Call, Trajectory
from ec_agent.numbers.coverage import FEW, MIN_COVERAGE, NO_MODEL, unscored
from ec_agent.numbers.signals import ENTROPY, SURPRISAL

NAN = float("nan")


def calls(*timelines):
    return Trajectory([Call(np.array(values), tokens=len(values)) for values in timelines])


def test_no_call_is_no_model():
    assert unscored(calls(), ENTROPY) == NO_MODEL


@pytest.mark.parametrize(
    ("values", "least", "reason"),
    [
        ([NAN, NAN], 0.0, FEW),
        ([1.0, NAN], MIN_COVERAGE, None),
        ([1.0, NAN, NAN], MIN_COVERAGE, FEW),
        ([1.0, NAN, NAN], 0.3, None),
    ],
)
def test_too_few_tokens_with_the_signal(values, least, reason):
    assert unscored(calls(values), ENTROPY, least) == reason


def test_unknown_length_is_low_coverage_unless_skipped():
    trajectory = Trajectory([Call(np.array([1.0, 2.0]), tokens=2), Call(np.empty(0), tokens=None)])
    assert unscored(trajectory, ENTROPY) == FEW
    assert unscored(trajectory, ENTROPY, skip_unknown=True) is None


def test_the_signal_that_is_read_counts():
    call = Call(np.array([NAN, NAN]), tokens=2, signals={SURPRISAL: np.array([0.1, 0.2])})
    assert unscored(Trajectory([call]), ENTROPY) == FEW
    assert unscored(Trajectory([call]), SURPRISAL) is None
