"""What verdicts read of an outcome, and what adapters share in making tools and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool, StructuredTool

from ec_agent.commits.declared_tools import read_only
from ec_agent.environments.worlds import get_environment
from ec_agent.errors import ConfigError
from ec_agent.evaluation.tasks import Outcome
from ec_agent.support.lazy import needed

Call = tuple[str, dict[str, Any]]


def final_text(outcome: Outcome) -> str:
    """The text of the final action, without the white space around it; of a tool call there is none."""
    action = outcome.final_action
    return (action.text if isinstance(action, BaseMessage) else str(action)).strip()


def tool_calls(outcome: Outcome) -> list[Call]:
    """Every tool call of the rollout, in order; of an output without messages, those of the final action."""
    output = outcome.output
    messages = output.get("messages") if isinstance(output, Mapping) else None
    said: Iterable[Any] = messages or [outcome.final_action]
    return [
        (call["name"], call["args"])
        for message in said
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    ]


def tool_from(
    function: Callable[..., Any], name: str, description: str, schema: Mapping[str, Any], **options: Any
) -> BaseTool:
    """A tool whose JSON schema is given as it is, ``pattern`` and all, and not checked: its function does that.

    It is marked as harmless, for tools of tasks act in the task's own world alone, and each rollout has one to itself.
    """
    made = StructuredTool.from_function(
        function, name=name, description=description, args_schema=dict(schema), **options
    )
    return read_only(made)


def environment_of(kind: type[Any]) -> Any:
    """The environment of the rollout a tool runs in.

    Raises:
        ConfigError: there is none of that kind.
    """
    environment = get_environment()
    if not isinstance(environment, kind):
        raise ConfigError(
            "this tool belongs to a task: run it through ec_agent.evaluation, or with "
            "best_of_n(agent, environment=lambda index, input: task.environment())"
        )
    return environment


def package(module: str, requirement: str = "ec-agent[tasks]") -> Any:
    """The module of a package that only one adapter needs.

    Args:
        module: its import name.
        requirement: what pip is asked for, if it is not the extra with most of them.

    Raises:
        ConfigError: it is not installed.
    """
    return needed(module, "these tasks need", requirement)
