"""A centroid while the rollout is still running. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ec_agent.errors import ConfigError
from ec_agent.numbers.entropy import FloatArray, as_timeline
from ec_agent.numbers.phases import HEPConfig, centroid_of_sums, config_of, entropy_centroid
from ec_agent.support.checks import number, refusal


class OnlineTrajectory:
    """A timeline that grows, and its centroid so far.

    Exact by default: the percentiles of a timeline move with every token, so the centroid on demand looks at all
    tokens so far, some nanoseconds each, and once per growth. It needs 8 bytes a token, up to 16 while it grows.

    With ``thresholds`` fixed beforehand, from earlier rollouts of the same model and task, say, it is *approximate*:
    every token is dealt with once, nothing is kept of it, and the centroid costs the same at any length. It is the
    method's centroid but for the thresholds; where these are the percentiles that the whole timeline turns out to
    have, the two are equal.

    A centroid of an unfinished rollout is another quantity than that of the finished one: compare those of equally
    long beginnings.

    Example:
        >>> online = OnlineTrajectory()
        >>> online.append([0.1, 2.3, 0.4])
        >>> online.append(0.0)
        >>> online.centroid()
        0.375

    Args:
        config: the settings; ``None`` is ``HEPConfig()``.
        thresholds: ``(theta_high, theta_low)`` in nats, for the approximate centroid; the config's percentages then
            do not matter.

    Raises:
        ConfigError: the thresholds are not two finite numbers.
    """

    def __init__(self, config: HEPConfig | None = None, *, thresholds: tuple[float, float] | None = None) -> None:
        self.config = config_of(config)
        self.thresholds = None if thresholds is None else _checked(thresholds)
        self._length = 0
        self._kept = np.empty(0)
        self._found: tuple[int, float | None] = (0, None)
        # Of the phases under fixed thresholds: the open one, and the sums of those that ended.
        self._start = -1
        self._duration = self._low_run = self._mass = self._twice_moment = 0

    def __len__(self) -> int:
        """Tokens so far, those without an entropy included."""
        return self._length

    @property
    def entropies(self) -> FloatArray:
        """The timeline so far, shape ``(T,)``, nats; read-only.

        Raises:
            ConfigError: with fixed thresholds, where no token is kept.
        """
        if self.thresholds is not None:
            raise ConfigError("with fixed thresholds no entropies are kept; leave thresholds= out, or keep your own")
        timeline = self._kept[: self._length]
        timeline.flags.writeable = False
        return timeline

    def append(self, entropies: ArrayLike | Sequence[float | None] | None) -> None:
        """Add the next token, or tokens.

        Args:
            entropies: one number or shape ``(T,)``, nats; NaN or ``None`` where a token has none.

        Raises:
            LogprobsError: not numbers, infinite, or of more than one dimension. Nothing is added then.
        """
        given: Any = entropies
        if given is None or isinstance(given, int | float | np.generic) or getattr(given, "shape", None) == ():
            given = [given]
        added = as_timeline(given)
        if self.thresholds is not None:
            self._follow(added, *self.thresholds)
        elif self._length + len(added) > len(self._kept):
            grown = np.empty(max(2 * len(self._kept), self._length + len(added), 1024))
            grown[: self._length] = self._kept[: self._length]
            self._kept = grown
        if self.thresholds is None:
            self._kept[self._length : self._length + len(added)] = added
        self._length += len(added)

    def centroid(self) -> float | None:
        """The centroid of the tokens so far, in [0, 1); ``None`` where there is no phase."""
        if self.thresholds is not None:
            mass, twice_moment = self._mass, self._twice_moment
            if self._start >= 0:  # still open: it counts in full
                mass += self._duration
                twice_moment += self._duration * (2 * self._start + self._duration)
            return centroid_of_sums(mass, twice_moment, self._length)
        if self._found[0] != self._length:
            self._found = self._length, entropy_centroid(self._kept[: self._length], self.config)
        return self._found[1]

    def _follow(self, added: FloatArray, theta_high: float, theta_low: float) -> None:
        """The pass of docs/method.md section 2, taken up where it stood."""
        k = self.config.consecutive_low
        for index, entropy in enumerate(added.tolist(), start=self._length):
            if entropy != entropy:
                continue
            if self._start < 0:
                if entropy >= theta_high:
                    self._start, self._duration, self._low_run = index, 1, 0
                continue
            self._duration += 1
            self._low_run = self._low_run + 1 if entropy <= theta_low else 0
            if self._low_run == k:
                mass = self._duration - k
                self._mass += mass
                self._twice_moment += mass * (2 * self._start + mass)
                self._start = -1


def _checked(thresholds: tuple[float, float]) -> tuple[float, float]:
    rather = "two entropies in nats, (theta_high, theta_low)"
    if not isinstance(thresholds, Sequence | np.ndarray) or len(thresholds) != 2:
        raise refusal("thresholds", thresholds, rather)
    high, low = (float(number("thresholds", theta, rather)) for theta in thresholds)
    return high, low
