"""How an evaluation is run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.evaluation.shards import shard_in
from ec_agent.rollouts.limits import Limits
from ec_agent.stopping import StoppingPlan
from ec_agent.stopping.asking import check_plan, name_of
from ec_agent.stopping.spelling import settings_of
from ec_agent.support.checks import checked, flag, number, or_none, whole
from ec_agent.traces.stored import Key

MOST = 1_000_000
"""Rollouts of a task."""
BUDGETS = ("token_budget", "call_budget")
"""Of the whole run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What is run, and within what limits.

    Attributes:
        n: rollouts per task.
        seed: of the run; each rollout's own derives from it, the task's id and its index.
        temperature: sampling temperature of the n rollouts.
        greedy: whether one more rollout per task runs at temperature 0, as a baseline.
        request_logprobs: ask for logprobs where the agent does not, as in ``best_of_n``.
        max_tokens: generated tokens per rollout; one that needs more fails.
        timeout: seconds per rollout; one that needs more fails.
        recursion_limit: supersteps per rollout; one that needs more fails.
        concurrency: how many rollouts run at once.
        token_budget: generated tokens over the whole run, those of earlier parts included. Where it is spent no rollout
            starts; those that run end, and may exceed it.
        call_budget: the same of model calls.
        stop: a stopping plan, one of ``ec_agent.stopping.PLANS``: each task's rollouts start in waves, and no more of
            them once it says that enough is known. What it spares has no rollouts to compare afterwards. The rollout at
            temperature 0 runs in any case.
        shard: ``"3/16"`` runs the third of sixteen parts of the tasks; ``None`` runs all. Other machines run the
            others, into files of their own that ``ec-agent traces merge`` merges, or into one PostgreSQL database.

    Raises:
        ConfigError: a value it cannot have.
    """

    n: int = 8
    seed: int = 0
    temperature: float = 0.8
    greedy: bool = True
    request_logprobs: bool = False
    max_tokens: int | None = None
    timeout: float | None = None
    recursion_limit: int = 100
    concurrency: int = 4
    token_budget: int | None = None
    call_budget: int | None = None
    stop: StoppingPlan | None = None
    shard: str | None = None

    def __post_init__(self) -> None:
        checked(self, "n", whole, 1, MOST)
        checked(self, "concurrency", whole)
        for name in BUDGETS:
            checked(self, name, or_none, whole)
        checked(self, "seed", whole, None)
        rather = "a number above 0: at 0 all rollouts of a task are the same"
        checked(self, "temperature", number, rather, above=0)
        flag("greedy", self.greedy)
        flag("request_logprobs", self.request_logprobs)
        if isinstance(self.timeout, float) and self.timeout == float("inf"):
            raise ConfigError("timeout is inf; leave it out, and a rollout has all the time it needs")
        _ = self.limits
        if self.shard is not None:
            shard_in(self.shard)
        if self.stop is not None:
            check_plan(self.stop)
            if settings_of(self.stop) is None:
                raise ConfigError(
                    f"stop is {name_of(self.stop)}, which the file of a run cannot hold; give a plan of "
                    "ec_agent.stopping without a function of your own"
                )

    @property
    def limits(self) -> Limits:
        """What one rollout may use."""
        return Limits(recursion_limit=self.recursion_limit, timeout=self.timeout, max_tokens=self.max_tokens)

    @property
    def per_task(self) -> int:
        """How many rollouts a task has."""
        return self.n + self.greedy

    def keys(self, task: str) -> list[Key]:
        """The rollouts of a task."""
        return [*(Key(task, "sample", i) for i in range(self.n)), *([Key(task, "greedy", 0)] if self.greedy else [])]

    def seed_of(self, key: Key) -> int:
        """A rollout's own seed, the same in every run with this ``seed``; in [0, 2**31)."""
        digest = hashlib.sha256(f"{self.seed}/{key.task}/{key.kind}/{key.number}".encode()).digest()
        return int.from_bytes(digest[:4]) >> 1

    def sampling_of(self, key: Key) -> dict[str, Any]:
        """The request parameters of a rollout."""
        return {"seed": self.seed_of(key), "temperature": 0 if key.kind == "greedy" else self.temperature}

    def lasting(self) -> dict[str, Any]:
        """What a rollout depends on: a run that is resumed must have the same."""
        passing = ("concurrency", *BUDGETS, "stop", "shard")
        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in passing}
        return kept if self.stop is None else {**kept, "stop": settings_of(self.stop)}

    def spent(self, tokens: int, calls: int) -> str | None:
        """The name of the budget that these generated tokens and model calls have spent, if they have one."""
        for name, used in zip(BUDGETS, (tokens, calls), strict=True):
            budget = getattr(self, name)
            if budget is not None and used >= budget:
                return name
        return None
