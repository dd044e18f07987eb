"""The centroid of a rollout that is still running. NumPy only."""

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
    """A timeline that grows token by token, and the centroid of its tokens so far.

    By default the centroid is exact. Each new token can move the percentiles of the timeline, so ``centroid()`` looks
    at all tokens so far. This takes some nanoseconds a token, and is done again only after tokens were added. The
    memory is 8 bytes a token, up to 16 while the timeline grows.

    With fixed ``thresholds`` the centroid is *approximate*. Take them from earlier rollouts of the same model and
    task, for example. Each token is then looked at once and not kept, so the centroid costs the same at any length.
    If the thresholds happen to be the percentiles of the whole timeline, the approximate and the exact centroid are
    equal.

    The centroid of an unfinished rollout is not an estimate of its final one. Compare rollouts after the same number
    of tokens.

    Example:
        >>> online = OnlineTrajectory()
        >>> online.append([0.1, 2.3, 0.4])
        >>> online.append(0.0)
        >>> online.centroid()
        0.375

    Args:
        config: the settings of the phases. ``None`` means ``HEPConfig()``.
        thresholds: ``(theta_high, theta_low)`` in nats, for the approximate centroid. The percentages of ``config``
            are not used then.

    Raises:
        ConfigError: ``thresholds`` is not two finite numbers, or ``config`` is not a ``HEPConfig``.
    """

    def __init__(self, config: HEPConfig | None = None, *, thresholds: tuple[float, float] | None = None) -> None:
        self.config = config_of(config)
        self.thresholds = None if thresholds is None else _checked(thresholds)
        self._length = 0
        self._kept = np.empty(0)
        self._found: tuple[int, float | None] = (0, None)  # the last exact centroid, and the length it was found at
        # The rest is used with fixed thresholds only: the phase that is open, and sums over the phases that ended.
        self._start = -1
        self._duration = self._low_run = self._mass = self._twice_moment = 0

    def __len__(self) -> int:
        """Number of tokens so far, including those without an entropy."""
        return self._length

    @property
    def entropies(self) -> FloatArray:
        """The timeline so far, shape ``(T,)``, nats; read-only.

        Raises:
            ConfigError: the thresholds are fixed; entropies are not kept then.
        """
        if self.thresholds is not None:
            raise ConfigError(
                "with fixed thresholds no entropies are kept; leave thresholds= out, or keep the entropies yourself"
            )
        timeline = self._kept[: self._length]
        timeline.flags.writeable = False
        return timeline

    def append(self, entropies: ArrayLike | Sequence[float | None] | None) -> None:
        """Add one token or several to the end of the timeline.

        Args:
            entropies: one number, or shape ``(T,)``, in nats. NaN or ``None`` for a token without an entropy.

        Raises:
            LogprobsError: the values are not numbers, infinite, or have more than one dimension. Nothing is added
                then.
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
        """Return the centroid of the tokens so far, in [0, 1), or ``None`` if there is no phase yet."""
        if self.thresholds is not None:
            mass, twice_moment = self._mass, self._twice_moment
            if self._start >= 0:  # a phase is still open; all its tokens so far count
                mass += self._duration
                twice_moment += self._duration * (2 * self._start + self._duration)
            return centroid_of_sums(mass, twice_moment, self._length)
        if self._found[0] != self._length:
            self._found = self._length, entropy_centroid(self._kept[: self._length], self.config)
        return self._found[1]

    def _follow(self, added: FloatArray, theta_high: float, theta_low: float) -> None:
        """Continue the pass of docs/method.md section 2 over the tokens that were added."""
        k = self.config.consecutive_low
        for index, entropy in enumerate(added.tolist(), start=self._length):
            if entropy != entropy:  # NaN, the one number that is not equal to itself
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
