"""``reasoning_gym:chain_sum`` and a hundred more: procedural tasks with scorers (reasoning-gym 0.1.25, Apache-2.0).

The tasks have no tools; give the agent those it may use. Some scorers give part marks, so verdicts are from 0 to 1.
"""

from __future__ import annotations

from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.common import final_text, package
from ec_agent.evaluation.tasks import BaseTask, Outcome, Task

DEFAULT_COUNT = 100


class ReasoningTask(BaseTask):
    """One question.

    Args:
        id: its name.
        dataset: the data set, which scores answers.
        entry: the question with its answer.

    Attributes:
        gold: an answer that scores 1; ``None`` for the few data sets that know none (``rubiks_cube``, say).
    """

    def __init__(self, id: str, dataset: Any, entry: dict[str, Any]) -> None:
        super().__init__(id, entry["question"])
        self._dataset, self._entry = dataset, entry
        answer = entry["answer"]
        self.gold: str | None = answer if answer and self._score(answer) == 1 else None
        self.expected = self.gold

    def verdict(self, outcome: Outcome) -> float:
        """The data set's score of the answer: what ``<answer>...</answer>`` holds, else the whole final text."""
        text = final_text(outcome)
        _, opened, rest = text.rpartition("<answer>")
        return self._score(rest.partition("</answer>")[0].strip() if opened else text)

    def _score(self, answer: str) -> float:
        try:
            score = float(self._dataset.score_answer(answer, self._entry))
        except Exception:  # many scorers raise whatever their parsing does at an answer they cannot read: it is wrong
            return 0.0
        return min(1.0, max(0.0, score))


def load(part: str, limit: int | None, *, seed: int = 0, **options: Any) -> list[Task]:
    """Tasks of one data set.

    Args:
        part: the data set's name.
        limit: how many; ``None`` is 100.
        seed: of its generator.
        **options: the data set's own settings, such as ``min_terms`` of ``chain_sum``.

    Raises:
        ConfigError: the package is not installed, there is no such data set, or a setting is wrong.
    """
    gym = package("reasoning_gym")
    known = gym.factory.DATASETS
    if part not in known:
        raise ConfigError(f"reasoning_gym has no data set {part!r}; it has {', '.join(sorted(known))}")
    count = limit or DEFAULT_COUNT
    try:
        dataset = gym.create_dataset(part, size=count, seed=seed, **options)
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(f"reasoning_gym:{part} takes other settings ({error}); see its configuration") from error
    return [ReasoningTask(f"{part}-{seed}-{index}", dataset, dataset[index]) for index in range(count)]
