"""What the rollouts may use, and the meter that stops one that uses more."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.types import RetryPolicy

from ec_agent.capture.recorder import Recorder
from ec_agent.errors import RolloutTimeoutError, TokenBudgetError, TokenLimitError
from ec_agent.support.checks import checked, one_of, or_none, seconds, whole
from ec_agent.support.plans import Plan, Step


@dataclass(frozen=True, slots=True)
class Limits:
    """What the rollouts may use. Tokens are generated tokens, those of calls that do not count included.

    An answer from an LLM cache has none.

    Attributes:
        max_concurrency: how many rollouts run at once; ``None`` runs all n at once.
        recursion_limit: supersteps per rollout; one that needs more becomes a failed candidate. A limit bound to
            the agent itself does not apply: ``create_agent`` binds one near 10,000. ``RemainingSteps`` counts from it.
        timeout: seconds per rollout. An async rollout is cancelled, its requests and tasks with it. A sync one is
            stopped at its next model or tool call or streamed chunk, and its ``openai`` requests get no longer than
            the time left (each of the client's own retries anew); a tool that runs on is waited for.
        max_tokens: tokens per rollout; one that generates more becomes a failed candidate.
        token_budget: tokens over all rollouts; those that have not started when it is spent do not start.
        over_budget: what becomes of rollouts that run when the budget is spent: they ``"finish"``, or they are
            ``"cut"`` at their next model or tool call.
        quorum: fewest scored rollouts to select from; with fewer, ``QuorumError``.
    """

    max_concurrency: int | None = None
    recursion_limit: int = 100
    timeout: float | None = None
    max_tokens: int | None = None
    token_budget: int | None = None
    over_budget: Literal["finish", "cut"] = "finish"
    quorum: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "max_tokens", "token_budget", "quorum"):
            checked(self, name, or_none, whole)
        checked(self, "recursion_limit", whole)
        checked(self, "timeout", or_none, seconds, "seconds, more than 0, or None")
        checked(self, "over_budget", one_of, ("finish", "cut"), "'finish' or 'cut'")


class Budget:
    """The tokens that all rollouts of a question have generated. Thread-safe."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.spent = 0
        self._recalled: set[str] = set()
        self._lock = threading.Lock()

    def spend(self, tokens: int) -> None:
        """Tokens were generated."""
        with self._lock:
            self.spent += tokens

    def recall(self, rollout: str, tokens: int) -> None:
        """A rollout generated tokens before the run was killed; of one of that name once."""
        with self._lock:
            if rollout not in self._recalled:
                self._recalled.add(rollout)
                self.spent += tokens

    @property
    def gone(self) -> bool:
        """Whether it is spent."""
        return self.limit is not None and self.spent >= self.limit

    def check(self, what: str) -> None:
        """Refuse to go on where it is spent.

        Raises:
            TokenBudgetError: it is spent.
        """
        if self.gone:
            raise TokenBudgetError(f"{what}: {self.spent} of token_budget={self.limit} tokens were spent; allow more")


class Meter:
    """Watches over one rollout; asked before every model and tool call.

    Args:
        limits: what it may use.
        budget: what all rollouts may use together.
        halts: each raises where the rollout has stopped already.
        outer: the recorder of the rollout around this one, whose limits hold too.
    """

    def __init__(
        self,
        limits: Limits,
        budget: Budget,
        halts: Sequence[Callable[[], Any]] = (),
        outer: Recorder | None = None,
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._halts = halts
        self._outer = outer
        self._tokens = 0
        self._deadline = None if limits.timeout is None else time.monotonic() + limits.timeout

    def before(self) -> None:
        """A model or a tool is about to be called.

        Raises:
            RolloutTimeoutError: the time is up.
            TokenLimitError: ``max_tokens`` is used up.
            TokenBudgetError: the budget is spent, and running rollouts are to be cut.
        """
        if self._outer is not None:
            self._outer.check()
        for halt in self._halts:
            halt()
        if self.expired:
            raise self.timeout()
        if self._limits.max_tokens is not None and self._tokens >= self._limits.max_tokens:
            raise self._too_many()
        if self._limits.over_budget == "cut":
            self._budget.check("cut")

    def after(self, tokens: int) -> None:
        """A model call has generated tokens.

        Raises:
            TokenLimitError: more than ``max_tokens``.
        """
        self._tokens += tokens
        self._budget.spend(tokens)
        if self._outer is not None:
            self._outer.spend(tokens)
        if self._limits.max_tokens is not None and self._tokens > self._limits.max_tokens:
            raise self._too_many()

    @property
    def remaining(self) -> float | None:
        """Seconds left; ``None`` without a limit."""
        own = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.001)
        guard = self._outer.guard if self._outer is not None else None
        left = [seconds for seconds in (own, guard.remaining if guard is not None else None) if seconds is not None]
        return min(left, default=None)

    @property
    def expired(self) -> bool:
        """Whether the time is up."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def timeout(self) -> RolloutTimeoutError:
        """The error of a rollout whose time is up."""
        return RolloutTimeoutError(f"the rollout took longer than {self._limits.timeout} s; allow more, or see why")

    def _too_many(self) -> TokenLimitError:
        return TokenLimitError(
            f"{self._tokens} tokens were generated of max_tokens={self._limits.max_tokens}; allow more"
        )


def retry_pause(policies: Sequence[RetryPolicy], error: Exception | None, tried: int) -> float | None:
    """Seconds until a rollout that failed begins anew; ``None`` if it does not.

    Args:
        policies: the first that knows the error decides.
        error: what it failed with.
        tried: how often it has run.
    """
    policy = next((policy for policy in policies if error is not None and _knows(policy, error)), None)
    if policy is None or tried >= policy.max_attempts or isinstance(error, TokenBudgetError):
        return None
    seconds = min(policy.max_interval, policy.initial_interval * policy.backoff_factor ** (tried - 1))
    return seconds + random.uniform(0, 1) if policy.jitter else seconds


def _knows(policy: RetryPolicy, error: Exception) -> bool:
    kinds = policy.retry_on
    if isinstance(kinds, type):
        return isinstance(error, kinds)
    return bool(kinds(error)) if callable(kinds) else isinstance(error, tuple(kinds))


def timed(plan: Plan[None], within: Callable[[Step], Step]) -> Plan[None]:
    """The plan's steps, in an async run within the time that is left.

    Raises:
        RolloutTimeoutError: it was not enough.
    """
    try:
        step = next(plan)
        while True:
            step = plan.send((yield within(step)))
    except StopIteration:
        return


def bounded(step: Step, meter: Meter) -> Step:
    """The step, in an async run cancelled when the time is up."""

    async def wait() -> Any:
        try:
            async with asyncio.timeout(meter.remaining) as clock:
                return await step.wait()
        except TimeoutError as error:
            raise (meter.timeout() if clock.expired() else error) from None

    return Step(step.sync, wait)
