"""What an evaluation has found: rollouts, and apart from them how they were judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ec_agent.entropy import FloatArray
from ec_agent.errors import ConfigError
from ec_agent.selectors import Candidate


@dataclass(frozen=True, slots=True, eq=False)
class TaskResult:
    """The rollouts of one task. Selectors are given ``candidates`` and nothing else: these know no outcomes.

    Attributes:
        task: the task's id.
        candidates: its N rollouts in index order, failed ones too; their trajectories hold every signal.
        correct: shape ``(N,)``, the verdicts, in [0, 1]; 0 for a failed rollout.
        greedy: the verdict on the rollout at temperature 0; ``None`` where there is none.

    Raises:
        ConfigError: not one verdict a candidate, or a verdict outside [0, 1].
    """

    task: str
    candidates: tuple[Candidate, ...]
    correct: FloatArray
    greedy: float | None = None

    def __post_init__(self) -> None:
        correct = np.asarray(self.correct, dtype=np.float64)
        if correct.shape != (len(self.candidates),):
            raise ConfigError(f"task {self.task!r}: {correct.shape} verdicts for {len(self.candidates)} rollouts")
        if not ((correct >= 0) & (correct <= 1)).all():
            raise ConfigError(f"task {self.task!r}: verdicts {correct.tolist()}; give numbers from 0 to 1")
        object.__setattr__(self, "correct", correct)
