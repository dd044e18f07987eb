"""What ``retry=`` decides: whether a failed rollout is tried again, and after how long.

``rollouts/rollout.py`` makes the attempts, and asks here after each.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from langgraph.types import RetryPolicy

from ec_agent.errors import TokenBudgetError


def retry_pause(policies: Sequence[RetryPolicy], error: Exception | None, tried: int) -> float | None:
    """Return the seconds to wait before a failed rollout is retried; ``None`` if it is not retried.

    Args:
        policies: retry policies; the first that covers the error decides.
        error: the rollout's error; ``None`` if it did not fail.
        tried: how many attempts were made so far.
    """
    policy = next((policy for policy in policies if error is not None and _covers(policy, error)), None)
    # A spent budget stays spent, so a retry could not succeed.
    if policy is None or tried >= policy.max_attempts or isinstance(error, TokenBudgetError):
        return None
    seconds = min(policy.max_interval, policy.initial_interval * policy.backoff_factor ** (tried - 1))
    return seconds + random.uniform(0, 1) if policy.jitter else seconds


def _covers(policy: RetryPolicy, error: Exception) -> bool:
    """Whether an error is one that a policy retries: by its classes, or by a function that the user gave."""
    kinds = policy.retry_on
    if isinstance(kinds, type):
        return isinstance(error, kinds)
    return bool(kinds(error)) if callable(kinds) else isinstance(error, tuple(kinds))
