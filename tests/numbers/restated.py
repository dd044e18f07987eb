"""The phases as found, and held against the method's restatement in plain Python."""

from __future__ import annotations

import strategies as own

from benchmarks import baseline as restatement
from ec_agent.numbers.phases import entropy_centroid, high_entropy_phases


def found(entropies, config=None):
    """The phases as ``(start, duration)`` pairs."""
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
