"""From token entropies to High Entropy Phases and their centroid (docs/method.md sections 2 and 3). NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ec_agent.entropy import as_timeline
from ec_agent.errors import ConfigError

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HEPConfig:
    """Settings of the High Entropy Phases; the defaults are the paper's recommended 1 / 80 / 2.

    Attributes:
        top_percent: a token starts a phase when its entropy is in the top this-many percent of the rollout.
        bottom_percent: a token is low when its entropy is in the bottom this-many percent of the rollout.
        consecutive_low: so many low tokens in a row end a phase.

    Raises:
        ConfigError: a percentage outside [0, 100], or ``consecutive_low`` not a whole number >= 1.
    """

    top_percent: float = 1.0
    bottom_percent: float = 80.0
    consecutive_low: int = 2

    def __post_init__(self) -> None:
        for name in ("top_percent", "bottom_percent"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise ConfigError(f"{name} is {value!r}; give a number from 0 to 100")
            if not 0 <= value <= 100:  # false for NaN too
                raise ConfigError(f"{name} is {value!r}; give a percentage from 0 to 100")
            object.__setattr__(self, name, float(value))
        k = self.consecutive_low
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ConfigError(f"consecutive_low is {k!r}; give a whole number of at least 1")
        object.__setattr__(self, "consecutive_low", int(k))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON."""
        return asdict(self)


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
        entropies: shape ``(T,)``, nats; NaN or ``None`` where a token has none. Such a token keeps its place
            in the timeline but takes no part in thresholds, phases or durations.
        config: the settings; ``None`` is ``HEPConfig()``.

    Returns:
        ``Phases(starts, durations)``, integer arrays of shape ``(P,)``.

    Raises:
        LogprobsError: ``entropies`` is not one-dimensional, not numbers, or infinite.

    Source: arXiv 2604.26173; docs/method.md section 2.
    """
    config = config or HEPConfig()
    timeline = as_timeline(entropies)
    places = np.flatnonzero(~np.isnan(timeline))
    known = timeline[places]
    if len(known) == 0:
        return Phases(np.empty(0, np.int64), np.empty(0, np.int64))
    theta_high, theta_low = np.percentile(known, [100 - config.top_percent, config.bottom_percent])
    highs = np.flatnonzero(known >= theta_high)
    if len(highs) == 0:
        return Phases(np.empty(0, np.int64), np.empty(0, np.int64))
    k = min(config.consecutive_low, len(known) + 1)  # longer than the timeline: no phase is ever closed
    first, last = _spans(highs, _run_ends(known <= theta_low, k), k, len(known))
    return Phases(places[first].astype(np.int64), last - first + 1)


def entropy_centroid(entropies: ArrayLike | Sequence[float | None], config: HEPConfig | None = None) -> float | None:
    """Relative mass centre of the High Entropy Phases: low when the run explored early and was sure later.

    Args:
        entropies: shape ``(T,)``, nats; NaN or ``None`` where a token has none.
        config: the settings; ``None`` is ``HEPConfig()``.

    Returns:
        A number in [0, 1), or ``None`` where there is no phase: not scored is never 0.

    Raises:
        LogprobsError: ``entropies`` is not one-dimensional, not numbers, or infinite.

    Source: arXiv 2604.26173; docs/method.md section 3.
    """
    timeline = as_timeline(entropies)
    starts, masses = high_entropy_phases(timeline, config)
    if len(starts) == 0:
        return None
    # Half-integers far below 2**53: both sums are exact, whatever their order.
    positions = starts + masses / 2
    return float((masses * positions).sum() / masses.sum() / len(timeline))


def _run_ends(low: NDArray[np.bool_], k: int) -> IntArray:
    """Indices at which the last ``k`` tokens, this one included, are all low."""
    counts = np.concatenate(([0], np.cumsum(low)))
    return np.flatnonzero(counts[k:] - counts[:-k] == k) + k - 1 if len(low) >= k else np.empty(0, np.int64)


def _spans(highs: IntArray, run_ends: IntArray, k: int, length: int) -> tuple[IntArray, IntArray]:
    """First and last token of each phase, as indices among the tokens that have an entropy.

    A phase opened at ``s`` is closed by the first low run of length k that lies wholly after ``s``, that is,
    the first run end at ``s + k`` or later; the next phase opens at the first high token after that. So each
    high token has one successor, and the phases are the chain of successors from the first high token.
    """
    closer = np.searchsorted(run_ends, highs + k)
    closed_at = np.append(run_ends, length)[closer]
    successor = np.append(np.searchsorted(highs, closed_at, side="right"), len(highs))
    # Walk the chain by doubling: after step i every opening within 2**i phases of the first is marked.
    opens = np.zeros(len(highs) + 1, np.bool_)
    opens[0] = True
    hops = 1
    while hops <= len(highs):
        opens[successor[opens]] = True
        successor = successor[successor]
        hops *= 2
    first = highs[opens[:-1]]
    ends = closed_at[opens[:-1]]
    # The k closing tokens are not part of a phase; one still open at the end keeps its full duration.
    return first, np.where(ends == length, length - 1, ends - k)
