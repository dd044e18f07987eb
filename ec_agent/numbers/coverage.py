"""Which rollouts can be scored: the one rule, and its default. NumPy only."""

from __future__ import annotations

from ec_agent.numbers.trajectory import Trajectory

MIN_COVERAGE = 0.5
"""Smallest share of a rollout's generated tokens that must have the signal that is read."""

NO_MODEL = "no model"
"""Why a rollout in which no model was called is unscored: nothing is missing of it."""

FEW = "coverage"
"""Why a rollout is unscored of whose tokens too few have the signal."""


def unscored(
    trajectory: Trajectory, signal: str, min_coverage: float = MIN_COVERAGE, *, skip_unknown: bool = False
) -> str | None:
    """Why a rollout cannot be scored by a signal; ``None`` where it can.

    Args:
        trajectory: its calls.
        signal: the per-token signal.
        min_coverage: the smallest share of tokens with it.
        skip_unknown: leave calls of unknown length out of the share, which is else unknown, and so too small.

    Returns:
        ``"no model"`` where no call was made; ``"coverage"`` where no token has the signal, or too few have it.
    """
    if not trajectory.calls:
        return NO_MODEL
    if trajectory.count(signal) == 0:
        return FEW
    share = trajectory.share(signal)
    if share is None and skip_unknown:
        share = Trajectory([call for call in trajectory.calls if call.tokens is not None]).share(signal)
    return FEW if (share or 0.0) < min_coverage else None
