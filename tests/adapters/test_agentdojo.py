"""AgentDojo: the gold calls have utility in all 97 tasks, and some tasks have it untouched."""

from __future__ import annotations

import pytest
from gold import EVERY
from langchain_core.messages import AIMessage

from ec_agent.environments.worlds import in_environment
from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load
from ec_agent.evaluation.tasks import Outcome, Task

COUNTS = {"workspace": 40, "travel": 20, "banking": 16, "slack": 21}
# What an agent that does and says nothing passes. Any pass rate has to be read beside it.
BY_DOING_NOTHING = {"banking": [5, 6, 8, 9, 10]}


def played(task, calls, answer):
    tools = {tool.name: tool for tool in task.tools}
    with task.environment() as office, in_environment(office):
        for name, args in calls:
            tools[name].invoke(args)
        return task.verdict(Outcome(AIMessage(answer), None, office))


@pytest.mark.members(1)
@pytest.mark.parametrize("suite", COUNTS)
def test_gold_and_nothing(suite):
    tasks = load(f"agentdojo:{suite}")
    assert len(tasks) == COUNTS[suite]
    assert all(isinstance(task, Task) for task in tasks)
    tasks = tasks[:: EVERY if suite == "workspace" else 1]  # its worlds are big, and compared in full
    assert [task.id for task in tasks if not played(task, task.gold, task.gold_answer)] == []
    passed = [task.id for task in tasks if played(task, [], "")]
    assert passed == [f"{suite}-user_task_{number}" for number in BY_DOING_NOTHING.get(suite, [])]


def test_worlds_share_nothing_and_errors_are_results():
    task = load("agentdojo:banking", 1)[0]
    name, args = task.gold[-1]
    tool = next(tool for tool in task.tools if tool.name == name)
    with task.environment() as one, task.environment() as other:
        with in_environment(one):
            assert tool.invoke({}).startswith("Error: ValidationError")
            assert not tool.invoke(args).startswith("Error")
        assert one.world != one.before
        assert other.world == other.before


def test_no_such_suite():
    with pytest.raises(ConfigError, match="it has banking, slack, travel, workspace"):
        load("agentdojo:bank")
