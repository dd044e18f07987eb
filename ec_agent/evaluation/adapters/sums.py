"""``sums``: a family of our own. A sum is worked off step by step with a tool; every rollout is as many calls long.

The tool carries the state: it answers with the sum that is left, so that a model of 135M parameters need remember
nothing. A wrong step is not refused, it gives a wrong sum: all rollouts of a task make the same number of calls, right
or wrong, and neither their number nor when they stop can tell which is which.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.common import Call, environment_of, final_text, tool_from
from ec_agent.evaluation.tasks import BaseTask, Outcome, Task

DEFAULT_COUNT = 200
_STEP = re.compile(r"\s*(-?\d{1,6}) ([+-]) (\d{1,6})\s*")


class Sheet:
    """The sum that is left, in one rollout: whole numbers, of which the first is the result so far."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = list(numbers)

    def step(self, expression: str) -> str:
        """Put the value of ``expression`` in place of the first two numbers, whether or not it is made of them.

        Returns:
            What is left, or a line starting ``Error:``; an unreadable step takes the first two numbers away as well.
        """
        match = _STEP.fullmatch(expression)
        if match:
            value = int(match[1]) + (int(match[3]) if match[2] == "+" else -int(match[3]))
            self.numbers[:2] = [value]
            return f"Sum: {shown(self.numbers)}"
        self.numbers[:2] = self.numbers[:1]
        return f"Error: write a step such as 26 + 57. Sum: {shown(self.numbers)}"


def shown(numbers: Sequence[int]) -> str:
    """Numbers as a sum: ``26 + 57 - 81``."""
    return str(numbers[0]) + "".join(f" {'-' if number < 0 else '+'} {abs(number)}" for number in numbers[1:])


def _calculate(expression: str = "") -> str:
    sheet: Sheet = environment_of(Sheet)
    return sheet.step(str(expression))


calculate = tool_from(
    _calculate,
    "calculate",
    "Calculate the first step of the sum that is left.",
    {
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "description": "such as 26 + 57",
                "pattern": r"^-?[0-9]{1,4} [+-] [0-9]{1,2}$",
            }
        },
        "required": ["expression"],
    },
)


class SumTask(BaseTask):
    """One sum.

    Args:
        id: its name.
        numbers: its whole numbers, at least two.

    Attributes:
        steps: how many calls a rollout has: one fewer than numbers.
        answer: the value.
    """

    tools = (calculate,)

    def __init__(self, id: str, numbers: Sequence[int]) -> None:
        super().__init__(id, f"Sum: {shown(numbers)}")
        self.numbers = tuple(numbers)
        self.steps = len(numbers) - 1
        self.answer = self.expected = str(sum(numbers))

    def environment(self) -> AbstractContextManager[Sheet]:
        """A sheet with the sum."""
        return nullcontext(Sheet(self.numbers))

    def verdict(self, outcome: Outcome) -> bool:
        """Whether the last line, ``Sum: 12`` or ``12``, is the value."""
        return final_text(outcome).removeprefix("Sum: ") == self.answer

    @property
    def gold(self) -> list[Call]:
        """The steps, each the first two numbers of what is left."""
        steps, left = [], list(self.numbers)
        while len(left) > 1:
            steps.append(("calculate", {"expression": shown(left[:2])}))
            left[:2] = [left[0] + left[1]]
        return steps


def load(part: str, limit: int | None, *, seed: int = 0, steps: int = 4) -> list[Task]:
    """Sums of numbers from 11 to 99.

    Args:
        part: none.
        limit: how many; ``None`` is 200. The first k are the same whatever the limit.
        seed: of the generator.
        steps: calls of a rollout.

    Raises:
        ConfigError: an argument is out of range.
    """
    if part:
        raise ConfigError(f"sums has no part {part!r}; write sums")
    if steps < 1:
        raise ConfigError(f"steps={steps} is no sum; give at least 1")
    rng = random.Random(seed)
    return [SumTask(f"sums-{seed}-{steps}-{index}", numbers(rng, steps)) for index in range(limit or DEFAULT_COUNT)]


def numbers(rng: random.Random, steps: int) -> list[int]:
    """Numbers of one sum: from 11 to 99, all but the first with either sign."""
    return [rng.randint(11, 99), *(rng.choice((1, -1)) * rng.randint(11, 99) for _ in range(steps))]
