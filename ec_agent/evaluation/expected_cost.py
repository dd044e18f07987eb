"""What a run will cost, as far as its tasks can tell before it starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import convert_to_messages
from langchain_core.utils.function_calling import convert_to_openai_tool

from ec_agent.errors import ConfigError
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.tasks import Task

LETTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The whole run, with each rollout on the way of its task's known solution, a tool call a model call.

    Attributes:
        rollouts: the greedy ones included.
        calls: model calls.
        prompt_tokens: what they are shown of questions and tool descriptions, ``LETTERS_A_TOKEN`` letters each.
            Tool results and what the model itself has said come on top.
        tool_tokens: of the longest tool descriptions of a task: what one prompt holds at least.
        known: whether every task has a known solution, or says by ``model_calls`` how many calls a rollout has. Else a
            rollout of it is counted as one call.
    """

    rollouts: int
    calls: int
    prompt_tokens: int
    tool_tokens: int
    known: bool


def foresee(tasks: Sequence[Task], settings: RunSettings) -> Foreseen:
    """Count, without running anything.

    Raises:
        ConfigError: a task's tools are none.
    """
    counts = [_calls_of(task) for task in tasks]
    calls = [count or 1 for count in counts]
    tools = [_described(task) for task in tasks]
    prompts = [shown + _asked(task.input) for shown, task in zip(tools, tasks, strict=True)]
    return Foreseen(
        rollouts=settings.per_task * len(tasks),
        calls=settings.per_task * sum(calls),
        prompt_tokens=settings.per_task * sum(many * size for many, size in zip(calls, prompts, strict=True)),
        tool_tokens=max(tools, default=0),
        known=all(counts),
    )


def _described(task: Task) -> int:
    if not task.tools:
        return 0
    try:
        return _tokens([convert_to_openai_tool(tool) for tool in task.tools])
    except Exception as error:
        raise ConfigError(
            f"task {task.id!r} has tools that cannot be described ({type(error).__name__}: {error}); give LangChain "
            "tools, or functions with a docstring"
        ) from error


def _calls_of(task: Task) -> int | None:
    """The model calls of a rollout, by the task's own word or on the way of its solution; ``None`` if not known.

    Of a conversation, the calls of each turn and a closing answer; of one question, its calls; one at least.
    """
    gold: Any = getattr(task, "gold", None)
    if told := getattr(task, "model_calls", None):
        return int(told)
    if not isinstance(gold, list):
        return None
    if not gold:
        return 1
    if all(isinstance(turn, list) for turn in gold):
        return sum(len(turn) + 1 for turn in gold)
    return len(gold)


def _asked(state: Any) -> int:
    messages = state.get("messages") if isinstance(state, dict) else None
    try:
        return _tokens([message.content for message in convert_to_messages(messages or [])] or state)
    except (ValueError, NotImplementedError):  # a state of the agent's own
        return _tokens(state)


def _tokens(shown: Any) -> int:
    return len(json.dumps(shown, default=str)) // LETTERS_A_TOKEN
