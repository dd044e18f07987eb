"""The objects that every trace store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.selection import Selection

Kind = Literal["sample", "greedy"]

VERSION = 7
"""Version of what is stored, the same for all stores and for Parquet files. It rises by one with each new field."""

USAGE = ("prompt_tokens", "cached_tokens", "generated_tokens", "cached_answer_tokens")
"""The token counts of a rollout's usage."""

AGENT_CHANGES = "agent_changes"
"""The setting of a run that lists how the agent was changed while the run went on, one sentence each."""

COSTS = ("model_calls", "unsampled_calls", "prompt_tokens", "generated_tokens", "seconds")
"""Names of the costs of a run."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Identifies a rollout within a run, or within a recorded selection.

    Attributes:
        task: id of the task; for a rollout of a recorded selection, the name of the selection.
        kind: ``"sample"``, or ``"greedy"`` for the baseline at temperature 0.
        number: index among the rollouts of the task of that kind, from 0.
    """

    task: str
    kind: Kind
    number: int

    def __str__(self) -> str:
        """Return ``"greedy rollout"``, or ``"rollout 3"``, without the task."""
        return "greedy rollout" if self.kind == "greedy" else f"rollout {self.number}"


@dataclass(frozen=True, slots=True)
class Asked:
    """The question of a task and its right answer, for people. A selector never sees them.

    Attributes:
        question: the question as plain text, or ``None`` if the store does not know it.
        expected: the right answer as plain text, or ``None`` if the task does not say it.
    """

    question: str | None = None
    expected: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredRollout:
    """One finished rollout.

    Attributes:
        key: which rollout it is.
        seed: the seed asked for, or ``None`` if there was none.
        sampling: the request parameters asked for, including the seed.
        trajectory: its LLM calls, with all signals that were kept. After reading, signals have single precision.
        final_action: its final action, or ``None`` if it failed.
        verdict: how it was judged, from 0 to 1. 0 if it failed. NaN if nobody judged it, as in recorded selections.
        error: the error it failed with, or ``None``.
        started: when it started, in seconds since the epoch.
        seconds: how long it took.
        usage: token counts by the names in ``USAGE``, as far as they were reported. Tokens that came from an LLM cache
            are only in ``cached_answer_tokens``.
        tool_calls: how many tools it executed.
        unsampled_calls: to how many LLM calls ``sampling`` could not be applied.
        selection: id of the recorded selection that it is a candidate of, or ``None`` if it belongs to the run.
        id: its id in the store, or ``None`` before it is added.
    """

    key: Key
    seed: int | None
    sampling: Mapping[str, Any]
    trajectory: Trajectory
    final_action: Any
    verdict: float
    error: str | None
    started: float
    seconds: float
    usage: Mapping[str, int]
    tool_calls: int = 0
    unsampled_calls: int = 0
    selection: int | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class StoredSelection:
    """One recorded selection. ``store.rollouts(selection=id)`` yields its candidates.

    Attributes:
        id: its id in the store.
        name: the name given when it was recorded, or ``None``.
        recorded: when it was recorded, in seconds since the epoch.
        receipt: the account of the choice: the candidates, the winner, and why it won.
    """

    id: int
    name: str | None
    recorded: float
    receipt: Selection

    @property
    def label(self) -> str:
        """Its name, or ``"selection 3"`` if it has none. It stands for the task in the keys of its rollouts."""
        return self.name or f"selection {self.id}"


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """Sums over the rollouts of one task.

    Attributes:
        task: id of the task.
        rollouts: number of finished rollouts, including failed ones, without the greedy one.
        failed: how many of them failed.
        solved: sum of their verdicts.
        best: highest of their verdicts.
        greedy: verdict on the greedy rollout, or ``None`` if it has not run yet.
        model_calls: number of LLM calls. This and the numbers below include the greedy rollout.
        unsampled_calls: number of LLM calls to which the sampling parameters could not be applied.
        prompt_tokens: number of tokens in the prompts.
        generated_tokens: number of generated tokens.
        seconds: sum of the rollouts' durations.
    """

    task: str
    rollouts: int
    failed: int
    solved: float
    best: float
    greedy: float | None
    model_calls: int
    unsampled_calls: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float
