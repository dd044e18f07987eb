"""What every store of traces keeps, as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.selection import Selection

Kind = Literal["sample", "greedy"]

VERSION = 7
"""Of what is kept of a rollout, whichever the store: one more with each field. Parquet files say it too."""

USAGE = ("prompt_tokens", "cached_tokens", "generated_tokens", "cached_answer_tokens")
"""The token counts of a rollout's usage."""

COSTS = ("model_calls", "unsampled_calls", "prompt_tokens", "generated_tokens", "seconds")
"""What the costs of a run are counted in."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which rollout of a run, or of a selection.

    Attributes:
        task: the task's id; for a rollout of a recorded selection what that selection is called.
        kind: ``"sample"``, or ``"greedy"`` for the baseline at temperature 0.
        number: its index among the task's rollouts of that kind, from 0.
    """

    task: str
    kind: Kind
    number: int

    def __str__(self) -> str:
        """Which of its task's rollouts it is."""
        return "greedy rollout" if self.kind == "greedy" else f"rollout {self.number}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task asks, for readers; a selector never sees it.

    Attributes:
        question: the question as plain text; ``None`` where the file does not know it.
        expected: the right answer as plain text; ``None`` where the task names none.
    """

    question: str | None = None
    expected: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredRollout:
    """One finished rollout.

    Attributes:
        key: which.
        seed: the seed it was to be sampled with, where one was given.
        sampling: the request parameters asked for, the seed among them.
        trajectory: its LLM calls with every signal that was kept; read back, the signals have single precision.
        final_action: its final action; ``None`` where it failed.
        verdict: how it was judged, from 0 to 1; 0 where it failed; NaN where nobody judged, as in a recorded selection.
        error: what it failed with.
        started: seconds since the epoch.
        seconds: how long it took.
        usage: ``prompt_tokens``, ``cached_tokens`` and ``generated_tokens``, as far as they were reported; where an LLM
            cache answered, ``cached_answer_tokens``, which are none of these.
        tool_calls: tools executed.
        unsampled_calls: model calls to which ``sampling`` could not be applied.
        selection: id of the recorded selection it is a candidate of; ``None`` for one of an evaluation.
        id: its id in the file; ``None`` before it is added.
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
    """One recorded selection; its candidates are ``store.rollouts(selection=id)``.

    Attributes:
        id: its id in the file.
        name: what it was called when it was recorded.
        recorded: when, seconds since the epoch.
        receipt: who ran, who won, and why.
    """

    id: int
    name: str | None
    recorded: float
    receipt: Selection

    @property
    def label(self) -> str:
        """What its rollouts' keys have for a task: its name, or its number."""
        return self.name or f"selection {self.id}"


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """What a task's rollouts came to, without their timelines.

    Attributes:
        task: its id.
        rollouts: finished rollouts, failed ones included, the greedy one not.
        failed: those of them that failed.
        solved: their verdicts added up.
        best: the highest verdict.
        greedy: verdict on the greedy rollout; ``None`` where there is none yet.
        model_calls: LLM calls, the greedy rollout's included, as everywhere below.
        unsampled_calls: those of them that seed and temperature could not be applied to.
        prompt_tokens: tokens of the prompts.
        generated_tokens: tokens generated.
        seconds: time of the rollouts one after the other.
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
