"""The rule that decides whether a rollout has enough logprobs to be scored. NumPy only."""

from __future__ import annotations

from ec_agent.numbers.trajectory import Trajectory

MIN_COVERAGE = 0.5
"""Default of ``min_coverage``: at least this share of a rollout's generated tokens must have the signal."""

NO_MODEL = "no model"
"""The reason ``unscored`` gives for a rollout that called no model. No logprobs are missing: it has no tokens."""

FEW = "coverage"
"""The reason ``unscored`` gives for a rollout where too few tokens have the signal."""


def unscored(
    trajectory: Trajectory, signal: str, min_coverage: float = MIN_COVERAGE, *, skip_unknown: bool = False
) -> str | None:
    """Tell why a rollout cannot be scored by a signal, or return ``None`` if it can be.

    Args:
        trajectory: the LLM calls of the rollout.
        signal: name of the per-token signal that the selector reads.
        min_coverage: the smallest share of tokens that must have the signal, from 0 to 1.
        skip_unknown: whether to ignore calls that did not report their number of tokens. If such calls are not
            ignored, the share is unknown, and an unknown share counts as too small.

    Returns:
        ``"no model"`` if the rollout made no LLM call. ``"coverage"`` if no token or too few tokens have the signal.
    """
    if not trajectory.calls:
        return NO_MODEL
    if trajectory.count(signal) == 0:
        return FEW
    share = trajectory.share(signal)
    if share is None and skip_unknown:
        share = Trajectory([call for call in trajectory.calls if call.tokens is not None]).share(signal)
    return FEW if (share or 0.0) < min_coverage else None
