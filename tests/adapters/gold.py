"""How much of the gold solutions the suite runs: a fixed share, or all of them with ``make gold``."""

from __future__ import annotations

import os

from langchain_core.messages import AIMessage

from ec_agent.environments.worlds import in_environment
from ec_agent.evaluation.tasks import Outcome

EVERY = int(os.environ.get("EC_AGENT_GOLD_EVERY", "8"))


def outcome_of(calls, environment=None):
    """What a rollout comes to that makes these calls in one message."""
    made = [{"name": name, "args": args, "id": f"c{index}"} for index, (name, args) in enumerate(calls)]
    message = AIMessage("", tool_calls=made)
    return Outcome(message, {"messages": [message]}, environment)


def played(task, calls):
    """The verdict on calls carried out with the task's own tools, the last result being the answer."""
    tools = {tool.name: tool for tool in task.tools}
    with task.environment() as environment, in_environment(environment):
        results = [str(tools[name].invoke(args)) for name, args in calls]
        return task.verdict(Outcome(AIMessage(results[-1] if results else ""), None, environment))
