"""``long``: a family of our own with long rollouts. The model thinks in free text before each of its steps.

A list of things is weighed one by one. A thing that is not on the list any more is weighed all the same, and the first
of the list is struck off for it: the total is then wrong, and every rollout of a task makes the same number of calls,
right or wrong. The state is carried by the tool, as in ``sums``. A rollout of 10 things is some 400 tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.common import Call, environment_of, final_text, tool_from
from ec_agent.evaluation.tasks import BaseTask, Outcome, Task

DEFAULT_COUNT = 200
WEIGHTS = {
    "basket": 540,
    "blanket": 1450,
    "bowl": 480,
    "candle": 210,
    "clock": 650,
    "cushion": 430,
    "lamp": 1200,
    "mirror": 2300,
    "mug": 350,
    "teapot": 820,
    "tray": 610,
    "vase": 900,
}
"""Things and their weights in grams."""


class Scales:
    """What is left to weigh in one rollout, and the weight so far."""

    def __init__(self, things: Sequence[str]) -> None:
        self.left = list(things)
        self.grams = 0

    def weigh(self, item: str) -> str:
        """Weigh a thing and strike it off, or the first one where it is not on the list."""
        if self.left:
            self.grams += WEIGHTS.get(item, 0)
            self.left.remove(item if item in self.left else self.left[0])
        return shown(self.left) if self.left else f"Weight: {self.grams} g"


def shown(things: Sequence[str]) -> str:
    """The list that is left."""
    return f"The list: {', '.join(things)}."


def thought(things: Sequence[str]) -> str:
    """What a good clerk thinks at this list."""
    thing = things[0]
    return f"The list starts with the {thing}. Nothing comes before the {thing}, so the {thing} goes on the scales now."


def _weigh(thought: str = "", item: str = "") -> str:
    scales: Scales = environment_of(Scales)
    return scales.weigh(str(item))


weigh = tool_from(
    _weigh,
    "weigh",
    "Think, then weigh one thing of the list.",
    {
        "type": "object",
        "properties": {  # in this order: the schema makes the model think first
            "thought": {"type": "string", "minLength": 80, "maxLength": 240},
            "item": {"type": "string", "enum": list(WEIGHTS)},
        },
        "required": ["thought", "item"],
    },
)


class WeighTask(BaseTask):
    """One list.

    Args:
        id: its name.
        things: names out of ``WEIGHTS``, each at most once.

    Attributes:
        steps: how many calls a rollout has: one for each thing.
        answer: the last line of a right rollout.
    """

    tools = (weigh,)

    def __init__(self, id: str, things: Sequence[str]) -> None:
        super().__init__(id, shown(things))
        self.things = tuple(things)
        self.steps = len(things)
        self.answer = self.expected = f"Weight: {sum(WEIGHTS[thing] for thing in things)} g"

    def environment(self) -> AbstractContextManager[Scales]:
        """Scales and the list."""
        return nullcontext(Scales(self.things))

    def verdict(self, outcome: Outcome) -> bool:
        """Whether the last line has the right weight."""
        return final_text(outcome) == self.answer

    @property
    def gold(self) -> list[Call]:
        """The things in the order of the list, each with a thought."""
        left = [self.things[index:] for index in range(self.steps)]
        return [("weigh", {"thought": thought(things), "item": things[0]}) for things in left]


def load(part: str, limit: int | None, *, seed: int = 0, steps: int = 10) -> list[Task]:
    """Lists of things in random order.

    Args:
        part: none.
        limit: how many; ``None`` is 200. The first k are the same whatever the limit.
        seed: of the generator.
        steps: things on a list, at most 12.

    Raises:
        ConfigError: an argument is out of range.
    """
    if part:
        raise ConfigError(f"long has no part {part!r}; write long")
    if not 1 <= steps <= len(WEIGHTS):
        raise ConfigError(f"steps={steps} is out of range; give 1 to {len(WEIGHTS)}")
    rng = random.Random(seed)
    return [
        WeighTask(f"long-{seed}-{steps}-{index}", rng.sample(list(WEIGHTS), steps))
        for index in range(limit or DEFAULT_COUNT)
    ]
