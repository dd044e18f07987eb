"""What holds of the phases and the centroid of any timeline."""

from __future__ import annotations

import math

import numpy as np
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st
from restated import found
from strategies import NAN

from benchmarks import baseline as restatement
from ec_agent.numbers.phases import HEPConfig, entropy_centroid, high_entropy_phases

pytestmark = pytest.mark.filterwarnings("error")


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
