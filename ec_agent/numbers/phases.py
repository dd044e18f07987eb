"""Finds High Entropy Phases and their centroid from entropies (docs/method.md sections 2 and 3). NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ec_agent.numbers.entropy import FloatArray, as_timeline
from ec_agent.numbers.percentiles import percentiles
from ec_agent.support.checks import checked, instance, number, whole

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HEPConfig:
    """Settings of the High Entropy Phases; the defaults are the paper's recommended 1 / 80 / 2.

    Attributes:
        top_percent: a token can start a phase if its entropy is in the top this-many percent of the rollout.
        bottom_percent: a token is low if its entropy is in the bottom this-many percent of the rollout.
        consecutive_low: a phase ends before this many low tokens in a row.

    Raises:
        ConfigError: a percentage is outside [0, 100], or ``consecutive_low`` is not a whole number of at least 1.
    """

    top_percent: float = 1.0
    bottom_percent: float = 80.0
    consecutive_low: int = 2

    def __post_init__(self) -> None:
        for name in ("top_percent", "bottom_percent"):
            checked(self, name, number, "a percentage, a number from 0 to 100", least=0, most=100)
            object.__setattr__(self, name, float(getattr(self, name)))
        checked(self, "consecutive_low", whole)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dict that JSON can hold."""
        return asdict(self)


USUAL = HEPConfig()
"""The settings that are used if none are given."""


def config_of(given: HEPConfig | None) -> HEPConfig:
    """Return the settings that were given, or ``USUAL`` for ``None``.

    Raises:
        ConfigError: ``given`` is neither a ``HEPConfig`` nor ``None``.
    """
    return USUAL if given is None else instance("config", given, HEPConfig, "HEPConfig(...), or None")


class Phases(NamedTuple):
    """The High Entropy Phases of one timeline, in order.

    Attributes:
        starts: shape ``(P,)``, index of each phase's first token in the whole timeline.
        durations: shape ``(P,)``, how many tokens *with* an entropy each phase lasts.
    """

    starts: IntArray
    durations: IntArray


def high_entropy_phases(entropies: ArrayLike | Sequence[float | None], config: HEPConfig | None = None) -> Phases:
    """Find the High Entropy Phases of a timeline.

    Args:
        entropies: shape ``(T,)``, nats. NaN or ``None`` where a token has no entropy. Such a token keeps its place
            in the timeline, but takes no part in thresholds, phases or durations.
        config: the settings. ``None`` means ``HEPConfig()``.

    Returns:
        ``Phases(starts, durations)``, integer arrays of shape ``(P,)``.

    Raises:
        LogprobsError: ``entropies`` is not one-dimensional, not numbers, or has an infinite value.
        ConfigError: ``config`` is not a ``HEPConfig``.

    Source: arXiv 2604.26173; docs/method.md section 2.
    """
    timeline = as_timeline(entropies)
    return _spans_of(timeline, config_of(config))


def entropy_centroid(entropies: ArrayLike | Sequence[float | None], config: HEPConfig | None = None) -> float | None:
    """Compute the centre of mass of the High Entropy Phases, as a share of the timeline.

    It is low if the rollout was unsure early and sure later.

    Args:
        entropies: shape ``(T,)``, nats. NaN or ``None`` where a token has no entropy.
        config: the settings. ``None`` means ``HEPConfig()``.

    Returns:
        A number in [0, 1), or ``None`` if there is no phase. A rollout without a phase is unscored, which is not a
        score of 0.

    Raises:
        LogprobsError: ``entropies`` is not one-dimensional, not numbers, or has an infinite value.
        ConfigError: ``config`` is not a ``HEPConfig``.

    Source: arXiv 2604.26173; docs/method.md section 3.
    """
    timeline = as_timeline(entropies)
    return centroid_of_phases(_spans_of(timeline, config_of(config)), len(timeline))


def centroid_of_phases(phases: Phases, length: int) -> float | None:
    """Return the centroid of a timeline of ``length`` tokens from its phases, or ``None`` if it has no phase."""
    starts, masses = phases
    return centroid_of_sums(int(np.add.reduce(masses)), int(masses.dot(2 * starts + masses)), length)


def centroid_of_sums(mass: int, twice_moment: int, length: int) -> float | None:
    """Return the centroid from sums over the phases, or ``None`` if there is no mass.

    Both sums are of whole numbers, so they are exact in any order of adding. That is why it is twice the moment: the
    moment itself has halves.

    Args:
        mass: total mass of the phases, ``sum m_n``.
        twice_moment: ``sum m_n (2 start_n + m_n)``.
        length: tokens of the timeline.
    """
    return twice_moment / 2 / mass / length if mass else None


def _spans_of(timeline: FloatArray, config: HEPConfig) -> Phases:
    known, places = timeline, None
    if not complete(timeline):
        places = (~np.isnan(timeline)).nonzero()[0]
        known = timeline[places]
    if len(known) == 0:
        return Phases(np.empty(0, np.int64), np.empty(0, np.int64))
    theta_high, theta_low = percentiles(known, (100 - config.top_percent, config.bottom_percent))
    highs = (known >= theta_high).nonzero()[0]
    k = min(config.consecutive_low, len(known) + 1)  # a larger number has the same effect: no phase is ever closed
    runs = low_runs(known <= theta_low, k)
    find = separate_spans if theta_low < theta_high else chained_spans
    first, ends = find(highs, runs, k, len(known))
    return Phases(first if places is None else places[first], ends - first)


def complete(timeline: FloatArray) -> bool:
    """Tell whether every token has an entropy. The timeline must have no infinite value."""
    return len(timeline) == 0 or not math.isnan(np.maximum.reduce(timeline))


def low_runs(low: NDArray[np.bool_], k: int) -> IntArray:
    """Return each index at which ``k`` low tokens in a row begin.

    Args:
        low: shape ``(T,)``, whether each token is low.
        k: length of a run.
    """
    if k > len(low):
        return np.empty(0, np.int64)
    if k <= 3:
        runs = low
        for shift in range(1, k):
            runs = runs[:-1] & low[shift:]
        return runs.nonzero()[0]
    counts = np.concatenate(([0], np.cumsum(low)))
    return np.flatnonzero(counts[k:] - counts[:-k] == k)


def separate_spans(highs: IntArray, runs: IntArray, k: int, length: int) -> tuple[IntArray, IntArray]:
    """Find the start and end (exclusive) of each phase, if no token is both high and low.

    A run of low tokens then holds no high token. So high tokens with no run between them belong to one phase: the
    first of them opens it, and the next run closes it.

    Args:
        highs: indices of the high tokens, at least one.
        runs: where ``k`` low tokens in a row begin; see ``low_runs``.
        k: not used; it is here so that both functions have the same arguments.
        length: how many tokens there are.

    Returns:
        Two arrays of shape ``(P,)``: the index of each phase's first token, and the index after its last one.
    """
    following = runs.searchsorted(highs)
    opens = np.empty(len(highs), np.bool_)
    opens[0] = True
    np.not_equal(following[1:], following[:-1], out=opens[1:])
    first, following = highs[opens], following[opens]
    # A phase that no run closes reaches to the end of the timeline.
    if following[-1] < len(runs):
        return first, runs[following]
    return first, np.concatenate((runs[following[:-1]], (length,)))


def chained_spans(highs: IntArray, runs: IntArray, k: int, length: int) -> tuple[IntArray, IntArray]:
    """Find the start and end (exclusive) of each phase, even if a token is both high and low.

    A phase opened at ``s`` is closed by the first low run that begins after ``s``. The next phase opens at the first
    high token after that run. So each high token has exactly one successor, and the phases are the chain of successors
    from the first high token on. Arguments and return value are those of ``separate_spans``.
    """
    following = runs.searchsorted(highs, side="right")
    ends = np.concatenate((runs, (length,)))[following]
    successor = np.concatenate((highs.searchsorted(ends + k), (len(highs),)))
    # Follow the chain in steps that double: after step i, the openings of the first 2**i phases are marked. A loop in
    # Python over single phases would be slow.
    opens = np.zeros(len(highs) + 1, np.bool_)
    opens[0] = True
    hops = 1
    while hops <= len(highs):
        opens[successor[opens]] = True
        successor = successor[successor]
        hops *= 2
    return highs[opens[:-1]], ends[opens[:-1]]
