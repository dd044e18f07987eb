"""The phases and the centroid of the method's cases, of timelines worked by hand, and of every kind of input."""

from __future__ import annotations

import numpy as np
import pytest
import strategies as own
from hypothesis import given
from restated import found
from strategies import NAN

from benchmarks import baseline as restatement
from ec_agent.errors import LogprobsError
from ec_agent.numbers.phases import HEPConfig, Phases, entropy_centroid, high_entropy_phases

pytestmark = pytest.mark.filterwarnings("error")

# What the method says


@pytest.mark.parametrize("case", own.CASES["trajectories"], ids=lambda case: case["name"])
def test_method_case(case):
    settings = case["top_percent"], case["bottom_percent"], case["consecutive_low"]
    expected = [tuple(phase) for phase in case["phases"]]
    assert found(case["entropies"], HEPConfig(*settings)) == expected
    assert entropy_centroid(case["entropies"], HEPConfig(*settings)) == case["centroid"]
    # The restatement that test_phases_restated.py and others lean on must itself be right.
    assert restatement.phases(case["entropies"], *settings) == expected
    assert restatement.centroid(expected, len(case["entropies"])) == case["centroid"]


def test_every_method_case_is_here():
    assert len(own.CASES["trajectories"]) == 69


# Worked by hand. With these settings theta_high is the maximum and theta_low the minimum, unless said.
EXTREMES = {"top_percent": 0, "bottom_percent": 0}


@pytest.mark.parametrize(
    ("entropies", "settings", "phases", "centroid"),
    [
        pytest.param([], {}, [], None, id="no-token"),
        pytest.param([None, NAN], {}, [], None, id="no-entropy"),
        pytest.param([0.0], {}, [(0, 1)], 0.5, id="one-token"),
        pytest.param([0, 9, 5, 0, 0, 5], EXTREMES, [(1, 2)], 2 / 6, id="closing-tokens-do-not-count"),
        pytest.param([0, 9, 0, 5, 0, 0], EXTREMES, [(1, 3)], 2.5 / 6, id="a-broken-low-run-starts-anew"),
        pytest.param([0, 9, 5, 0, 5, 0], EXTREMES, [(1, 5)], 3.5 / 6, id="open-at-the-end-keeps-all"),
        pytest.param([0, 9, 0], EXTREMES, [(1, 2)], 2 / 3, id="open-at-the-end-with-a-low-run"),
        pytest.param([0, 0, 9, 0, 0], EXTREMES, [(2, 1)], 2.5 / 5, id="closed-by-the-last-token"),
        pytest.param([0, 9, 0, 0, 9, 0, 0], EXTREMES, [(1, 1), (4, 1)], 3 / 7, id="two-phases"),
        pytest.param([1, 1, 1, 1], EXTREMES, [(0, 1), (3, 1)], 2 / 4, id="start-token-is-not-in-the-low-run"),
        pytest.param(
            [1, 1, 1],
            {**EXTREMES, "consecutive_low": 1},
            [(0, 1), (2, 1)],
            1.5 / 3,
            id="a-closing-token-starts-nothing",
        ),
        pytest.param([9, 9, 0, 0], EXTREMES, [(0, 2)], 1 / 4, id="no-second-start-inside"),
        pytest.param([9, 0, 0], {**EXTREMES, "consecutive_low": 3}, [(0, 3)], 1.5 / 3, id="run-never-long-enough"),
        pytest.param([None, 0, 9, None, 0, 0], EXTREMES, [(2, 1)], 2.5 / 6, id="start-counts-gaps-duration-does-not"),
        pytest.param([9, None, 5, None, 0, None, 0], EXTREMES, [(0, 2)], 1 / 7, id="gaps-do-not-break-a-run"),
        pytest.param([0, 9, 5, None, None], EXTREMES, [(1, 2)], 2 / 5, id="length-counts-gaps"),
        # theta_high = percentile([0, 1, 2, 3, 4], 75) = 3 exactly, theta_low = percentile(.., 25) = 1 exactly
        pytest.param(
            [0, 3, 2, 1, 4],
            {"top_percent": 25, "bottom_percent": 25, "consecutive_low": 1},
            [(1, 2), (4, 1)],
            (2 * 2 + 4.5) / 3 / 5,
            id="equal-to-a-threshold-is-high-and-low",
        ),
        # theta_high = percentile([0, 1, 2, 3], 90) = 2.7, theta_low = percentile(.., 10) = 0.3: interpolated
        pytest.param(
            [2, 3, 1, 0],
            {"top_percent": 10, "bottom_percent": 10, "consecutive_low": 1},
            [(1, 2)],
            2 / 4,
            id="interpolated",
        ),
    ],
)
def test_worked_by_hand(entropies, settings, phases, centroid):
    config = HEPConfig(**settings)
    assert found(entropies, config) == phases
    assert entropy_centroid(entropies, config) == (centroid if centroid is None else pytest.approx(centroid, rel=1e-15))


# Inputs


def test_defaults_are_the_recommended_settings():
    entropies = own.draw_timeline(np.random.default_rng(6), 500)
    assert HEPConfig() == HEPConfig(top_percent=1, bottom_percent=80, consecutive_low=2)
    assert found(entropies) == found(entropies, None) == found(entropies, HEPConfig(1, 80, 2))
    assert entropy_centroid(entropies) == entropy_centroid(entropies, HEPConfig(1, 80, 2))


@given(own.gapped_timelines, own.configs)
@own.examples(200)
def test_lists_tuples_and_arrays_are_the_same(entropies, config):
    array = np.array([NAN if h is None else h for h in entropies], dtype=np.float64)
    array.flags.writeable = False
    strided = np.repeat(array, 2)[::2]
    for given_as in (tuple(entropies), array, strided, array.tolist()):
        assert found(given_as, config) == found(entropies, config)
        assert entropy_centroid(given_as, config) == entropy_centroid(entropies, config)


def test_phases_are_a_named_pair_of_integer_arrays():
    for entropies in ([], [None], [0.0, 1.0]):
        phases = high_entropy_phases(entropies)
        assert isinstance(phases, Phases)
        assert phases.starts.dtype == phases.durations.dtype == np.int64
        assert phases.starts.ndim == phases.durations.ndim == 1


@pytest.mark.parametrize(
    "entropies", [None, 0.5, "text", ["a"], [[0.5]], [0.1, np.inf], [0.1, -np.inf], np.zeros((2, 2))]
)
@pytest.mark.parametrize("function", [high_entropy_phases, entropy_centroid])
def test_what_is_no_timeline_is_refused(function, entropies):
    with pytest.raises(LogprobsError, match="entropies"):
        function(entropies)
