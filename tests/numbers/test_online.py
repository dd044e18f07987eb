from __future__ import annotations

import numpy as np
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.online import OnlineTrajectory
from ec_agent.numbers.phases import HEPConfig, entropy_centroid

pytestmark = pytest.mark.filterwarnings("error")


def test_the_example():
    online = OnlineTrajectory()
    online.append([0.1, 2.3, 0.4])
    online.append(0.0)
    assert online.centroid() == 0.375
    assert len(online) == 4


@given(st.lists(own.timelines, max_size=5), own.configs)
@own.examples(200)
def test_pieces_make_the_whole(pieces, config):
    online = OnlineTrajectory(config)
    for piece in pieces:
        online.append(piece)
        online.centroid()
    whole = [entropy for piece in pieces for entropy in piece]
    assert len(online) == len(whole)
    assert online.centroid() == entropy_centroid(whole, config)
    assert own.plain(online.entropies) == own.plain(whole)


def test_nothing_yet():
    assert OnlineTrajectory().centroid() is None
    assert OnlineTrajectory(thresholds=(1, 0)).centroid() is None
    assert len(OnlineTrajectory().entropies) == 0


@pytest.mark.parametrize("one", [0.5, 1, None, np.float32(0.5), np.array(0.5), float("nan")])
@pytest.mark.parametrize("thresholds", [None, (0.4, 0.1)])
def test_one_token(one, thresholds):
    online = OnlineTrajectory(thresholds=thresholds)
    online.append(one)
    known = one is not None and one == one
    assert len(online) == 1
    assert online.centroid() == (0.5 if known else None)


@pytest.mark.parametrize("thresholds", [None, (0.4, 0.1)])
@pytest.mark.parametrize("wrong", ["1", ["x"], float("inf"), [[0.1]], {}])
def test_what_is_refused_adds_nothing(wrong, thresholds):
    online = OnlineTrajectory(thresholds=thresholds)
    online.append([0.1, 2.0])
    before = online.centroid()
    with pytest.raises(LogprobsError):
        online.append(wrong)
    assert (len(online), online.centroid()) == (2, before)


def test_its_entropies_are_read_only():
    online = OnlineTrajectory()
    given_array = np.array([0.1, 2.0])
    online.append(given_array)
    given_array[:] = 0
    shown = online.entropies
    with pytest.raises(ValueError, match="read-only"):
        shown[0] = 1
    online.append(0.3)
    assert shown.tolist() == [0.1, 2.0]
    assert online.entropies.tolist() == [0.1, 2.0, 0.3]


def test_with_fixed_thresholds_nothing_is_kept():
    online = OnlineTrajectory(HEPConfig(consecutive_low=1), thresholds=(2.0, 0.5))
    online.append([0.1, 2.0, 1.0, 0.5, 3.0])
    assert online.centroid() == (2 * 2 + 4.5) / 3 / 5
    with pytest.raises(ConfigError, match="thresholds"):
        _ = online.entropies


@pytest.mark.parametrize(
    "thresholds", [1.0, (1,), (1, 2, 3), ("a", 1), (float("nan"), 1), (float("inf"), 0), (None, 1)]
)
def test_wrong_thresholds(thresholds):
    with pytest.raises(ConfigError, match="thresholds"):
        OnlineTrajectory(thresholds=thresholds)
