"""Limits of time and tokens for rollouts, and the meter that stops a rollout at its limit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ec_agent.capture.guard import Coming, Guard
from ec_agent.capture.recorder import Recorder
from ec_agent.errors import RolloutTimeoutError, TokenBudgetError, TokenLimitError
from ec_agent.support.checks import checked, one_of, or_none, seconds, whole
from ec_agent.support.plans import Plan, Step


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for the rollouts of a question.

    Tokens are generated tokens, also those of calls that do not count. Answers from an LLM cache have none.

    Attributes:
        max_concurrency: how many rollouts run at once; ``None`` runs all n at once.
        recursion_limit: supersteps per rollout. A rollout that needs more fails. This replaces a limit that is bound
            to the agent itself, such as ``create_agent``'s of about 10,000; ``RemainingSteps`` counts from it.
        timeout: seconds per rollout. A rollout that takes longer fails. An async rollout is cancelled, with its
            requests and tasks. A sync one stops at its next model call, tool call or streamed chunk. Its ``openai``
            requests get the time that is left, and each of the client's own retries gets it anew. A tool that is
            running is waited for.
        max_tokens: tokens per rollout. A rollout that generates more fails.
        token_budget: tokens over all rollouts. Once they are spent, no further rollout starts.
        over_budget: what happens to rollouts that run when the budget is spent: they ``"finish"``, or they are
            ``"cut"`` at their next model or tool call.
        quorum: the fewest scored rollouts to choose from; with fewer, ``QuorumError`` is raised.

    Raises:
        ConfigError: a limit has a value that is not allowed.
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
    """Counts the tokens that all rollouts of a question have generated. Thread-safe.

    Args:
        limit: the token budget; ``None`` is no limit.
        spent: tokens that they generated in another process.
    """

    def __init__(self, limit: int | None, spent: int = 0) -> None:
        self.limit, self.spent = limit, spent
        self._recalled: set[str] = set()
        self._lock = threading.Lock()

    def spend(self, tokens: int) -> None:
        """Add generated tokens."""
        with self._lock:
            self.spent += tokens

    def recall(self, rollout: str, tokens: int) -> None:
        """Add the tokens that a rollout generated before the run was killed, once per name of a rollout."""
        with self._lock:
            if rollout not in self._recalled:
                self._recalled.add(rollout)
                self.spent += tokens

    @property
    def gone(self) -> bool:
        """Whether the budget is spent."""
        return self.limit is not None and self.spent >= self.limit

    def check(self, what: str) -> None:
        """Raise if the budget is spent; ``what`` begins the message: "cut", or "not started".

        Raises:
            TokenBudgetError: the budget is spent.
        """
        if self.gone:
            raise TokenBudgetError(f"{what}: {self.spent} of token_budget={self.limit} tokens were spent; allow more")


class Meter(Guard):
    """Checks the limits of one rollout before and after each of its model and tool calls.

    Args:
        limits: the limits.
        budget: the token budget of all rollouts.
        halts: functions that raise if the rollout has been stopped for another reason.
        outer: the recorder of an outer rollout, whose limits hold as well.
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

    def before(self, coming: Coming | None) -> None:
        """Check all limits before a model or a tool is called.

        Args:
            coming: the call; ``None`` if the rollout goes on without one.

        Raises:
            RolloutTimeoutError: the time is up.
            TokenLimitError: ``max_tokens`` is used up.
            TokenBudgetError: the budget is spent, and ``over_budget`` is ``"cut"``.
        """
        if self._outer is not None:
            self._outer.check(coming)
        for halt in self._halts:
            halt()
        if self.expired:
            raise self.timeout()
        if self._limits.max_tokens is not None and self._tokens >= self._limits.max_tokens:
            raise self._too_many()
        if self._limits.over_budget == "cut":
            self._budget.check("cut")

    def after(self, tokens: int) -> None:
        """Count the tokens that a model call has generated.

        Raises:
            TokenLimitError: the rollout has generated more than ``max_tokens``.
        """
        self._tokens += tokens
        self._budget.spend(tokens)
        if self._outer is not None:
            self._outer.spend(tokens)
        if self._limits.max_tokens is not None and self._tokens > self._limits.max_tokens:
            raise self._too_many()

    @property
    def remaining(self) -> float | None:
        """Seconds left, also by the limit of an outer rollout; ``None`` without a limit."""
        own = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.001)
        guard = self._outer.guard if self._outer is not None else None
        left = [seconds for seconds in (own, guard.remaining if guard is not None else None) if seconds is not None]
        return min(left, default=None)

    @property
    def expired(self) -> bool:
        """Whether the time is up."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def timeout(self) -> RolloutTimeoutError:
        """Make the error of a rollout whose time is up."""
        return RolloutTimeoutError(
            f"the rollout took longer than {self._limits.timeout} s; allow more with Limits(timeout=...), or find out "
            "what takes so long"
        )

    def _too_many(self) -> TokenLimitError:
        return TokenLimitError(
            f"the rollout generated {self._tokens} tokens with max_tokens={self._limits.max_tokens}; allow more"
        )


def timed(plan: Plan[None], within: Callable[[Step], Step]) -> Plan[None]:
    """Run a plan with each of its steps passed through ``within``, which may bound the step's time.

    Raises:
        RolloutTimeoutError: the time was not enough.
    """
    try:
        step = next(plan)
        while True:
            step = plan.send((yield within(step)))
    except StopIteration:
        return


def bounded(step: Step, meter: Meter) -> Step:
    """Return the step with a time limit: in an async run it is cancelled when the meter's time is up.

    A sync step cannot be interrupted; there the meter raises at the next model or tool call.
    """

    async def wait() -> Any:
        try:
            async with asyncio.timeout(meter.remaining) as clock:
                return await step.wait()
        except TimeoutError as error:
            raise (meter.timeout() if clock.expired() else error) from None

    return Step(step.sync, wait)


class ChoiceMeter(Meter):
    """Checks the limits of a choice before and after each model call of the selector.

    ``timeout`` holds for the choice as for a rollout, and the selector's tokens count for ``token_budget``. If the
    budget is spent, the selector asks nothing. ``max_tokens`` is a limit of rollouts alone; the caller leaves it out.
    """

    _begun = False

    def before(self, coming: Coming | None) -> None:
        """Check all limits before the selector asks a model.

        Args:
            coming: the call; ``None`` if the selector goes on without one.

        Raises:
            RolloutTimeoutError: the time is up.
            TokenBudgetError: the budget was spent before the first call, or is now, and ``over_budget`` is ``"cut"``.
        """
        if not self._begun:
            self._budget.check("the selector was not asked")
        self._begun = True
        super().before(coming)

    def timeout(self) -> RolloutTimeoutError:
        """Make the error of a choice whose time is up."""
        return RolloutTimeoutError(
            f"the selector took longer than {self._limits.timeout} s; allow more with Limits(timeout=...), or have it "
            "ask a faster model"
        )
