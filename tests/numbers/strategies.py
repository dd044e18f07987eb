"""Hypothesis strategies for the numbers, and NumPy-driven draws where many or long inputs are wanted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from short_form import part_of

from ec_agent.numbers.phases import HEPConfig

CASES = json.loads((Path(__file__).parent / "method_cases.json").read_text())


def examples(count):
    """Settings for a property that is checked on ``count`` drawn inputs."""
    return settings(max_examples=part_of(count), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plain(timeline):
    """A timeline as the restatement takes it: a list of floats, ``None`` where there is no entropy."""
    return [None if h != h else h for h in np.asarray(timeline, dtype=np.float64).tolist()]


# Settings

USUAL_PERCENTS = [0, 1, 3, 5, 10, 30, 50, 80, 90, 99, 100]

percents = st.one_of(st.sampled_from(USUAL_PERCENTS), st.floats(0, 100))
consecutive_lows = st.one_of(st.sampled_from([1, 2, 3, 5, 10_000]), st.integers(1, 60))
any_config = st.builds(HEPConfig, percents, percents, consecutive_lows)
# The two percentages overlap: theta_low >= theta_high, so that a token can be high and low at once.
overlapping_config = st.builds(
    lambda top, bottom, lows: HEPConfig(top, max(bottom, 100 - top), lows), percents, percents, consecutive_lows
)
configs = st.one_of(any_config, overlapping_config)


# Timelines

NAN = float("nan")
LEVELS = [0.0, 0.25, 0.5, 1.0, 1.5]


def spelled(alphabet, longest):
    """Timelines over an alphabet of entropies, one byte a token: cheap to draw and to shrink."""
    return st.binary(max_size=longest).map(lambda drawn: [alphabet[byte % len(alphabet)] for byte in drawn])


amounts = st.floats(0, 5, allow_subnormal=False)

short_timelines = spelled([*LEVELS, None, NAN], 5)
tied_timelines = st.one_of(spelled([0.0, 1.0], 40), spelled(LEVELS, 40))
smooth_timelines = st.lists(amounts, max_size=30)
gapped_timelines = st.one_of(spelled([*LEVELS, None], 40), spelled([0.0, 0.1, 2.3, None, NAN, None], 40))
constant_timelines = st.builds(
    lambda value, drawn: [None if byte > 200 else value for byte in drawn],
    st.one_of(st.just(0.0), amounts),
    st.binary(max_size=60),
)
seeds = st.integers(0, 2**63 - 1)

timelines = st.one_of(short_timelines, tied_timelines, smooth_timelines, gapped_timelines, constant_timelines)


def draw_timeline(rng, longest):
    """One timeline of up to ``longest`` tokens, of a kind that is likely to hurt."""
    length = int(rng.integers(0, longest + 1))
    kind = rng.integers(0, 7)
    if kind == 0:  # the shape of a language model's entropies: mostly near 0, few large
        values = rng.exponential(0.3, length) * (rng.random(length) < 0.4)
    elif kind == 1:  # two levels
        values = rng.integers(0, 2, length).astype(float)
    elif kind == 2:  # few levels, many ties
        values = rng.integers(0, int(rng.integers(2, 6)), length) / 4
    elif kind == 3:  # all the same
        values = np.full(length, rng.choice([0.0, 0.7, 2.3]))
    elif kind == 4:  # long runs
        values = np.repeat(rng.integers(0, 4, length) / 2, rng.integers(1, 9, length))[:length]
    elif kind == 5:  # no two alike, rising or falling
        values = np.sort(rng.random(length))[:: int(rng.choice([-1, 1]))]
    else:
        values = rng.random(length) * 3
    if rng.random() < 0.5:
        values = np.where(rng.random(length) < rng.choice([0.02, 0.3, 0.95]), np.nan, values)
    return values


def draw_config(rng):
    """One ``HEPConfig``, from the recommended one to the far corners."""
    usual = [0, 1, 3, 5, 10, 30, 50, 60, 80, 90, 100]
    top, bottom = rng.choice(usual, 2) if rng.random() < 0.6 else rng.random(2) * 100
    lows = rng.choice([1, 2, 3, 5]) if rng.random() < 0.7 else rng.integers(1, 80)
    if rng.random() < 0.2:
        bottom = max(bottom, 100 - top)
    return HEPConfig(float(top), float(bottom), int(lows))


@st.composite
def long_timelines(draw, longest=2000):
    """A timeline that would take hypothesis long to draw token by token; it shrinks by its seed only."""
    return draw_timeline(np.random.default_rng(draw(seeds)), longest)


# Logprobs

logprobs = st.floats(-60, 0, allow_subnormal=False)
absent = st.sampled_from([-np.inf, -9999.0])
candidates = st.lists(logprobs, min_size=1, max_size=20)
padded_candidates = st.lists(st.one_of(logprobs, absent), min_size=1, max_size=20)
unknown = st.sampled_from([None, float("nan"), float("inf")])
top_ks = st.one_of(st.none(), st.integers(1, 25))


def draw_rows(rng, tokens, k):
    """Logprobs of shape ``(tokens, k)`` as a provider would give them: sums below 1, some padding."""
    scores = rng.normal(0, rng.choice([0.3, 2.0, 6.0]), (tokens, k)) - 1.0
    rows = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)) - rng.exponential(0.05, (tokens, 1))
    rows[rng.random((tokens, k)) < 0.1] = -np.inf
    return rows
