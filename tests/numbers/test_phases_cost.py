"""No Python runs per token, a million tokens take no time, and very long timelines are right all the same."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tracing
from restated import check
from strategies import NAN

from benchmarks import baseline as restatement
from ec_agent.numbers.phases import HEPConfig, entropy_centroid

pytestmark = pytest.mark.filterwarnings("error")


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
