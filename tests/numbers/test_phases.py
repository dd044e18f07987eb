from __future__ import annotations

import itertools
import json
import math
import time
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import strategies as own
import tracing
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import baseline as restatement
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.phases import HEPConfig, Phases, entropy_centroid, high_entropy_phases

pytestmark = pytest.mark.filterwarnings("error")

NAN = float("nan")


def found(entropies, config=None):
    starts, durations = high_entropy_phases(entropies, config)
    return list(zip(starts.tolist(), durations.tolist(), strict=True))


def values(config):
    return config.top_percent, config.bottom_percent, config.consecutive_low


def check(entropies, config):
    """Phases and centroid are *equal* to the restatement's, no tolerance."""
    timeline = own.plain(entropies)
    expected = restatement.phases(timeline, *values(config))
    assert found(entropies, config) == expected
    assert entropy_centroid(entropies, config) == restatement.centroid(expected, len(timeline))


# What the method says


@pytest.mark.parametrize("case", own.CASES["trajectories"], ids=lambda case: case["name"])
def test_method_case(case):
    settings = case["top_percent"], case["bottom_percent"], case["consecutive_low"]
    expected = [tuple(phase) for phase in case["phases"]]
    assert found(case["entropies"], HEPConfig(*settings)) == expected
    assert entropy_centroid(case["entropies"], HEPConfig(*settings)) == case["centroid"]
    # The restatement that the properties below lean on must itself be right.
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


# Equal to the restatement


@given(own.short_timelines, own.configs)
@own.examples(1500)
def test_equals_the_restatement_on_short_timelines(entropies, config):
    check(entropies, config)


@given(own.tied_timelines, own.configs)
@own.examples(2000)
def test_equals_the_restatement_on_ties(entropies, config):
    check(entropies, config)


@given(own.smooth_timelines, own.configs)
@own.examples(800)
def test_equals_the_restatement_on_smooth_timelines(entropies, config):
    check(entropies, config)


@given(own.gapped_timelines, own.configs)
@own.examples(2000)
def test_equals_the_restatement_with_gaps(entropies, config):
    check(entropies, config)


@given(own.constant_timelines, own.configs)
@own.examples(800)
def test_equals_the_restatement_on_constants(entropies, config):
    check(entropies, config)


@given(own.timelines, own.overlapping_config)
@own.examples(1500)
def test_equals_the_restatement_where_high_is_also_low(entropies, config):
    known = [h for h in entropies if h is not None and not math.isnan(h)]
    if known:
        theta_high, theta_low = restatement.thresholds(known, config.top_percent, config.bottom_percent)
        assert theta_low >= theta_high or math.isclose(theta_low, theta_high)
    check(entropies, config)


@given(own.long_timelines(), own.configs)
@own.examples(700)
def test_equals_the_restatement_on_long_timelines(entropies, config):
    check(entropies, config)


def test_equals_the_restatement_on_every_tiny_timeline():
    settings = [
        HEPConfig(top, bottom, lows)
        for (top, bottom), lows in itertools.product([(0, 0), (1, 80), (50, 50), (100, 100), (30, 60)], [1, 2, 3])
    ]
    for length in range(5):
        for entropies in itertools.product([None, 0.0, 1.0, 2.0], repeat=length):
            for config in settings:
                check(entropies, config)
    for entropies, config in zip(itertools.product([0.0, 1.0, 2.0], repeat=6), itertools.cycle(settings), strict=False):
        check(entropies, config)


def test_equals_the_restatement_in_bulk():
    rng = np.random.default_rng(2604_26173)
    for _ in range(20_000):
        check(own.draw_timeline(rng, longest=70), own.draw_config(rng))


@pytest.mark.parametrize("length", range(14))
@pytest.mark.parametrize("lows", range(1, 16))
def test_equals_the_restatement_whatever_the_length_of_the_run(length, lows):
    for bottom in (0, 50, 100):
        check([0.0] * length, HEPConfig(100, bottom, lows))
        check([1.0] + [0.0] * length, HEPConfig(0, bottom, lows))
        check([0.0] * length + [1.0], HEPConfig(0, bottom, lows))


# Laws


@given(st.one_of(own.timelines, own.long_timelines(300)), own.configs)
@own.examples(700)
def test_shape_of_the_phases(entropies, config):
    timeline = np.array([NAN if h is None else h for h in entropies], dtype=np.float64)
    starts, durations = high_entropy_phases(entropies, config)
    known = np.flatnonzero(~np.isnan(timeline))
    assert starts.shape == durations.shape
    assert np.issubdtype(starts.dtype, np.integer)
    assert np.issubdtype(durations.dtype, np.integer)
    assert (durations >= 1).all()
    assert durations.sum() <= len(known)
    assert not np.isnan(timeline[starts]).any()
    # Among the tokens that have an entropy, phases are disjoint and the k closing tokens lie between them.
    rank = np.searchsorted(known, starts)
    assert (rank[1:] >= rank[:-1] + durations[:-1] + config.consecutive_low).all()
    assert (rank + durations <= len(known)).all()
    assert (len(starts) == 0) == (entropy_centroid(entropies, config) is None)
    if len(known):
        theta_high, _ = restatement.thresholds(timeline[known], config.top_percent, config.bottom_percent)
        high = timeline[known] >= theta_high
        assert high.any() == (len(starts) > 0)
        if len(starts):
            assert high[rank].all()
            assert rank[0] == np.flatnonzero(high)[0]


@given(st.one_of(own.timelines, own.long_timelines(300)), own.configs)
@own.examples(600)
def test_centroid_lies_in_the_timeline(entropies, config):
    centroid = entropy_centroid(entropies, config)
    starts, durations = high_entropy_phases(entropies, config)
    if centroid is None:
        assert len(starts) == 0
        return
    assert type(centroid) is float
    assert 0.0 <= centroid < 1.0
    positions = (starts + durations / 2) / len(entropies)
    assert positions.min() - 1e-15 <= centroid <= positions.max() + 1e-15


def test_centroid_stays_below_one_on_a_long_timeline():
    entropies = np.zeros(1_000_000)
    entropies[-1] = 1.0
    assert entropy_centroid(entropies, HEPConfig(0, 0, 1)) == (999_999 + 0.5) / 1_000_000 < 1.0


@given(st.lists(own.amounts, max_size=40), own.configs, st.integers(-20, 20))
@own.examples(500)
def test_the_unit_of_entropy_does_not_matter(entropies, config, power):
    # By powers of two: exact, where nats to bits would move the interpolated thresholds by an ulp.
    scaled = [math.ldexp(h, power) for h in entropies]
    if all(h == 0 or h > 1e-200 for h in entropies):
        assert found(scaled, config) == found(entropies, config)


@given(
    st.one_of(own.tied_timelines, own.smooth_timelines).map(lambda drawn: [*drawn, 0.75][: len(drawn) | 1]),
    st.sampled_from([0, 50, 100]),
    st.sampled_from([0, 50, 100]),
    own.consecutive_lows,
)
@own.examples(500)
def test_only_the_order_matters_where_nothing_is_interpolated(entropies, top, bottom, lows):
    # Minimum, median of an odd count and maximum are themselves entropies. Elsewhere it is not true.
    ranks = np.unique(entropies, return_inverse=True)[1]
    config = HEPConfig(top, bottom, lows)
    assert found(ranks, config) == found(entropies, config)
    assert found(np.exp(ranks / 4.0), config) == found(entropies, config)


@given(own.gapped_timelines, own.configs)
@own.examples(700)
def test_gaps_only_move_the_starts(entropies, config):
    timeline = np.array([NAN if h is None else h for h in entropies], dtype=np.float64)
    known = np.flatnonzero(~np.isnan(timeline))
    dense = found(timeline[known], config)
    assert found(entropies, config) == [(int(known[start]), duration) for start, duration in dense]


@given(own.timelines, own.configs, st.integers(0, 30), st.integers(0, 30))
@own.examples(500)
def test_gaps_around_the_timeline(entropies, config, before, after):
    wrapped = [*[None] * before, *entropies, *[None] * after]
    phases = found(entropies, config)
    assert found(wrapped, config) == [(start + before, duration) for start, duration in phases]
    centroid = entropy_centroid(entropies, config)
    if centroid is None:
        assert entropy_centroid(wrapped, config) is None
    else:
        assert entropy_centroid(wrapped, config) == pytest.approx(
            (centroid * len(entropies) + before) / len(wrapped), rel=1e-12
        )


@given(own.timelines, st.integers(0, 100), st.integers(0, 100))
@own.examples(300)
def test_a_run_longer_than_the_timeline_never_closes(entropies, top, bottom):
    phases = found(entropies, HEPConfig(top, bottom, len(entropies) + 1))
    assert len(phases) <= 1
    if phases:
        known = ~np.isnan(np.array([NAN if h is None else h for h in entropies], dtype=np.float64))
        assert phases[0][1] == known[phases[0][0] :].sum()


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


# HEPConfig

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


# Cost


def timelines_of(length):
    rng = np.random.default_rng(7)
    typical = rng.exponential(0.3, length) * (rng.random(length) < 0.4)
    gapped = np.where(rng.random(length) < 0.1, NAN, typical)
    constant = np.zeros(length)
    yield "typical", typical, HEPConfig()
    yield "gapped", gapped, HEPConfig(5, 50, 3)
    # One phase every 2 tokens, each token high and low: the most phases there can be.
    yield "constant", constant, HEPConfig(100, 100, 1)
    yield "constant-defaults", constant, HEPConfig()
    yield "overlapping", typical, HEPConfig(90, 95, 1)
    yield "one-phase", typical, HEPConfig(100, 0, length + 1)


@pytest.mark.parametrize("case", [*timelines_of(100_000)], ids=lambda case: case[0])
def test_no_python_per_token(case):
    _, entropies, config = case
    assert tracing.lines(entropy_centroid, entropies, config) < 1000
    assert tracing.bytecodes(entropy_centroid, entropies, config) < 10_000


def test_the_counters_see_a_loop():
    tokens = list(range(10_000))
    assert tracing.bytecodes(lambda: [token + 1 for token in tokens]) > 10_000
    assert tracing.lines(restatement.phases, tokens, 1, 80, 2) > 10_000


def test_a_million_tokens_take_no_time():
    # About 0.05 s each; anything quadratic would take hours.
    for _, entropies, config in timelines_of(1_000_000):
        began = time.perf_counter()
        entropy_centroid(entropies, config)
        assert time.perf_counter() - began < 5.0


@pytest.mark.parametrize("case", [*timelines_of(20_000)], ids=lambda case: case[0])
def test_equals_the_restatement_on_very_long_timelines(case):
    _, entropies, config = case
    check(entropies, config)
