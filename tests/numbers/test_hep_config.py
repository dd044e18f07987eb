"""The settings: what they refuse and take, and that they are a value."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from restated import check
from strategies import NAN

from ec_agent.errors import ConfigError
from ec_agent.numbers.phases import HEPConfig

pytestmark = pytest.mark.filterwarnings("error")

NOT_A_PERCENTAGE = [
    NAN,
    math.inf,
    -math.inf,
    -1,
    -1e-9,
    101,
    100.0001,
    1e300,
    "5",
    b"5",
    None,
    True,
    False,
    1j,
    [5],
    (5,),
]
NOT_A_COUNT = [0, -1, 1.5, 2.0, NAN, math.inf, "2", None, True, False, 2j, [2]]


@pytest.mark.parametrize("value", NOT_A_PERCENTAGE)
@pytest.mark.parametrize("name", ["top_percent", "bottom_percent"])
def test_a_bad_percentage_is_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        HEPConfig(**{name: value})
    with pytest.raises(ValueError, match=name):
        HEPConfig(**{name: value})


@pytest.mark.parametrize("value", [*NOT_A_COUNT, np.float64(2), np.bool_(True), np.int64(0)])
def test_a_bad_run_length_is_refused(value):
    with pytest.raises(ConfigError, match="consecutive_low"):
        HEPConfig(consecutive_low=value)


@pytest.mark.parametrize("value", [np.float64("nan"), np.float32("inf"), np.int64(-1), np.int64(101), np.bool_(True)])
def test_a_bad_numpy_percentage_is_refused(value):
    with pytest.raises(ConfigError, match="top_percent"):
        HEPConfig(top_percent=value)


@pytest.mark.parametrize("value", [10**400, -(10**400), np.complex128(1)], ids=["huge", "-huge", "complex"])
@pytest.mark.parametrize("name", ["top_percent", "bottom_percent"])
def test_an_odd_number_is_refused_as_a_percentage(name, value):
    with pytest.raises(ConfigError, match=name):
        HEPConfig(**{name: value})


@pytest.mark.parametrize("value", [0, 100, 0.0, 100.0, -0.0, 1e-300, 5e-324, 99.99999, np.float64(5), np.int64(5)])
def test_a_percentage_from_0_to_100_is_taken(value):
    assert HEPConfig(top_percent=value).top_percent == value
    assert HEPConfig(bottom_percent=value).bottom_percent == value
    check([0.0, 2.0, 1.0, 0.0, 0.0], HEPConfig(top_percent=value))
    check([0.0, 2.0, 1.0, 0.0, 0.0], HEPConfig(bottom_percent=value))


@pytest.mark.parametrize(
    "value", [1, 2, 10**9, 2**62, 2**63, 10**30, np.int64(3), np.int8(3), np.uint8(2), np.uint64(2)]
)
def test_a_run_length_from_1_is_taken(value):
    assert HEPConfig(consecutive_low=value).consecutive_low == value
    check([0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 2.0], HEPConfig(consecutive_low=value))


def test_config_is_frozen():
    config = HEPConfig()
    for name in ("top_percent", "bottom_percent", "consecutive_low"):
        with pytest.raises(FrozenInstanceError):
            setattr(config, name, 3)
    with pytest.raises((AttributeError, TypeError)):
        config.other = 3


def test_config_is_a_value():
    assert HEPConfig(5, 50, 3) == HEPConfig(5.0, 50.0, 3) != HEPConfig(5, 50, 2)
    assert hash(HEPConfig(5, 50, 3)) == hash(HEPConfig(5.0, 50.0, 3))
    assert len({HEPConfig(), HEPConfig(1, 80, 2), HEPConfig(5, 50, 3)}) == 2


def test_config_to_plain_json():
    config = HEPConfig(5, 50.5, 3)
    assert config.to_dict() == {"top_percent": 5, "bottom_percent": 50.5, "consecutive_low": 3}
    assert HEPConfig(**json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("settings", [(np.float32(5), 80, 2), (1, np.int64(80), 2), (1, 80, np.int64(2))])
def test_config_of_numpy_numbers_to_plain_json(settings):
    config = HEPConfig(*settings)
    assert HEPConfig(**json.loads(json.dumps(config.to_dict()))) == config
    assert [type(value) for value in config.to_dict().values()] == [float, float, int]
