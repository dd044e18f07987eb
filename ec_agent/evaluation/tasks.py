"""What an evaluation asks: a task has an input, perhaps an environment and tools, and says whether it was done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from langchain_core.tools import BaseTool

from ec_agent.errors import ConfigError
from ec_agent.support.checks import several


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a rollout came to, for its task to judge.

    Attributes:
        final_action: its final action, as ``best_of_n`` has it: an answer, a tool call, a structured response.
        output: the agent's own output, messages and all.
        environment: what ``Task.environment`` gave it, still open; ``None`` without.
    """

    final_action: Any
    output: Any = None
    environment: Any = None


@runtime_checkable
class Task(Protocol):
    """One task. Derive from ``BaseTask`` to have all but ``verdict`` filled in.

    Attributes:
        id: its name, unique among the tasks and the same in every run.
        input: the agent's input: ``{"messages": [...]}`` as a rule.
        tools: tools of its own, for an agent that is made for each task; empty for an agent that has its tools.

    It may have an attribute ``expected`` besides, the right answer: the report shows it; ``model_calls``, how many
    model calls a rollout has, if that is known before; and ``calls``, which LLM calls are the agent's, as in
    ``best_of_n``: those of a simulated user are not.
    """

    @property
    def id(self) -> str: ...  # noqa: D102  # said above

    @property
    def input(self) -> Any: ...  # noqa: D102  # said above

    @property
    def tools(self) -> Sequence[BaseTool]: ...  # noqa: D102  # said above

    def environment(self) -> AbstractContextManager[Any]:
        """A fresh world for one rollout; ``get_environment()`` gives it to the tools."""
        ...

    def verdict(self, outcome: Outcome) -> bool | float:
        """Whether it was done: ``True``, ``False``, or a share from 0 to 1. Raising counts as an error of the task."""
        ...


class BaseTask:
    """A task without tools or an environment of its own.

    Args:
        id: its name.
        input: the agent's input; a string is a user's message.
    """

    tools: Sequence[BaseTool] = ()

    def __init__(self, id: str, input: Any) -> None:
        self.id = id
        self.input = {"messages": [("user", input)]} if isinstance(input, str) else input

    def environment(self) -> AbstractContextManager[Any]:
        """Nothing."""
        return nullcontext()


def checked_tasks(tasks: Sequence[Task]) -> list[Task]:
    """The tasks, each with an id of its own.

    Raises:
        ConfigError: there is none, one is no task, or two have the same id.
    """
    found: dict[str, Task] = {}
    given: tuple[Any, ...] = several("tasks", tasks, object, "a list of tasks")
    for place, task in enumerate(given):
        if isinstance(task, type) or not isinstance(task, Task):
            raise ConfigError(
                f"task {place} is {type(task).__name__}, which is no task; give objects with id, input, tools, "
                "environment() and verdict(outcome): derive from ec_agent.evaluation.tasks.BaseTask"
            )
        if not isinstance(task.id, str) or not task.id:
            raise ConfigError(f"task {place} has the id {task.id!r}; give a text")
        if task.id.encode(errors="replace").decode() != task.id:
            raise ConfigError(f"task {place} has the id {task.id!r}, which is no whole Unicode text; give another")
        if task.id in found:
            raise ConfigError(f"two tasks have the id {task.id!r}; give each its own")
        found[task.id] = task
    if not found:
        raise ConfigError("there is no task: tasks is empty; give at least one")
    return list(found.values())
