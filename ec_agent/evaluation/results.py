"""What an evaluation has found: rollouts, and apart from them how they were judged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.numbers.coverage import unscored
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import leading
from ec_agent.selectors import Candidate, Selector
from ec_agent.selectors.registry import check_selector
from ec_agent.support.checks import checked, instance, number, or_none, repr_of, several, share, text
from ec_agent.traces.stored import Asked


@dataclass(frozen=True, slots=True, eq=False)
class TaskResult:
    """The rollouts of one task. Selectors are given ``candidates`` and nothing else: these know no outcomes.

    Attributes:
        task: the task's id.
        candidates: its N rollouts in index order, failed ones too; their trajectories hold every signal.
        correct: shape ``(N,)``, the verdicts, in [0, 1]; 0 for a failed rollout.
        greedy: the verdict on the rollout at temperature 0; ``None`` where there is none.
        min_coverage: share of its tokens for which a rollout must have what a selector reads; ``None`` leaves the
            candidates' own ``unscored`` as it is.
        asked: the question and the expected answer, for readers, as far as they are known.
        greedy_rollout: the rollout at temperature 0 itself, whose verdict is ``greedy``; ``None`` if it is not at hand.

    Raises:
        ConfigError: not one verdict a candidate, or a verdict outside [0, 1].
    """

    task: str
    candidates: tuple[Candidate, ...]
    correct: FloatArray
    greedy: float | None = None
    min_coverage: float | None = None
    asked: Asked = field(default_factory=Asked)
    greedy_rollout: Candidate | None = None

    def __post_init__(self) -> None:
        text("task", self.task)
        checked(self, "candidates", several, Candidate, "a list of Candidate(...) objects")
        checked(self, "greedy", or_none, number, "a verdict from 0 to 1, or None", least=0, most=1)
        checked(self, "min_coverage", or_none, share)
        checked(self, "greedy_rollout", or_none, instance, Candidate, "a Candidate(...) or None")
        instance("asked", self.asked, Asked, "Asked(question, expected)")
        try:
            correct = np.asarray(self.correct, dtype=np.float64)
        except Exception as error:
            raise ConfigError(
                f"task {self.task!r}: the verdicts are no numbers ({repr_of(error)}); give one for each rollout"
            ) from error
        if correct.shape != (len(self.candidates),):
            raise ConfigError(
                f"task {self.task!r}: {correct.shape} verdicts for {len(self.candidates)} candidates; give one each"
            )
        if not ((correct >= 0) & (correct <= 1)).all():
            raise ConfigError(f"task {self.task!r}: verdicts {repr_of(correct.tolist())}; give numbers from 0 to 1")
        object.__setattr__(self, "correct", correct)

    def with_config(self, config: HEPConfig) -> TaskResult:
        """The result with other settings of the High Entropy Phases.

        Raises:
            ConfigError: these are none.
        """
        instance("config", config, HEPConfig, "HEPConfig(...)")
        greedy = None if self.greedy_rollout is None else replace(self.greedy_rollout, config=config)
        candidates = tuple(replace(each, config=config) for each in self.candidates)
        return replace(self, candidates=candidates, greedy_rollout=greedy)

    def read_by(self, selector: Selector) -> TaskResult:
        """The result as the selector meets it in ``best_of_n``: unscored is what lacks the signal that *it* reads.

        A rollout without a single entropy may have the logprob of every token.

        Raises:
            ConfigError: the candidates' calls were kept without that signal.
        """
        check_selector(selector)
        signal, least = leading(selector.signals), self.min_coverage
        if signal is None or least is None:
            return self
        candidates = (
            replace(each, unscored=None if each.error else unscored(each.trajectory, signal, least))
            for each in self.candidates
        )
        return replace(self, candidates=tuple(candidates))
