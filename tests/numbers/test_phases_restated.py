"""Phases and centroid equal the restatement's on drawn, on tiny and on long timelines, without a tolerance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import strategies as own
from hypothesis import given
from restated import check
from short_form import part_of

from benchmarks import baseline as restatement
from ec_agent.numbers.phases import HEPConfig

pytestmark = pytest.mark.filterwarnings("error")


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
    for _ in range(part_of(20_000)):
        check(own.draw_timeline(rng, longest=70), own.draw_config(rng))


@pytest.mark.parametrize("length", range(14))
@pytest.mark.parametrize("lows", range(1, 16))
def test_equals_the_restatement_whatever_the_length_of_the_run(length, lows):
    for bottom in (0, 50, 100):
        check([0.0] * length, HEPConfig(100, bottom, lows))
        check([1.0] + [0.0] * length, HEPConfig(0, bottom, lows))
        check([0.0] * length + [1.0], HEPConfig(0, bottom, lows))
