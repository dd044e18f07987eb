"""Our own sums: right steps give the value, every rollout is as long, and the generator is fixed."""

from __future__ import annotations

import pytest
from gold import played
from langchain_core.messages import AIMessage

from ec_agent import best_of_n
from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load
from ec_agent.evaluation.adapters.sums import shown
from ec_agent.evaluation.tasks import Outcome
from ec_agent.testing import Reply, ScriptedChatModel
from graphs.eval_agents import fixed_calls


def test_the_same_every_time():
    assert [task.input["messages"][0][1] for task in load("sums", 2)] == [
        "Sum: 60 - 16 - 76 - 62 - 72",
        "Sum: 56 + 75 + 47 + 23 - 79",
    ]
    assert [task.id for task in load("sums", 3)] == [task.id for task in load("sums", 5)][:3]
    assert len({task.id for task in load("sums")}) == 200
    assert load("sums", 1, seed=1)[0].numbers != load("sums", 1)[0].numbers


def test_gold_is_accepted():
    tasks = load("sums")
    assert all(task.steps == len(task.gold) == 4 for task in tasks)
    assert all(played(task, task.gold) for task in tasks)


def with_a_wrong_step(task, wrong):
    """Calls that go on from a wrong step as if it were right."""
    calls = []
    with task.environment() as sheet:
        for index in range(task.steps):
            expression = "100 + 100" if index == wrong else shown(sheet.numbers[:2])
            calls.append(("calculate", {"expression": expression}))
            sheet.step(expression)
        assert len(sheet.numbers) == 1
    return calls


@pytest.mark.parametrize("wrong", range(4))
def test_a_wrong_step_is_refused_and_changes_no_length(wrong):
    assert not any(played(task, with_a_wrong_step(task, wrong)) for task in load("sums"))


def test_a_step_left_out_is_refused():
    assert not any(played(task, task.gold[:-1]) for task in load("sums"))


def test_a_step_that_cannot_be_read():
    task = load("sums", 1)[0]
    calls = [("calculate", {"expression": "60 minus 16"}), *task.gold[1:]]
    with task.environment() as sheet:
        assert sheet.step("60 minus 16") == "Error: write a step such as 26 + 57. Sum: 60 - 76 - 62 - 72"
    assert played(task, calls)  # the state is not looked back at: the next steps start from 44 again
    assert not played(task, [*task.gold[:3], ("calculate", {})])


def script(task, last):
    replies = [Reply(tool_calls=[call], entropies=[0.1] * 5) for call in task.gold[:-1]]
    return [*replies, last, Reply("not asked")]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_rollouts_of_fixed_length(asynchronous):
    task = load("sums", 1)[0]
    right = script(task, Reply(tool_calls=[task.gold[-1]], entropies=[0.1]))
    wrong = script(task, Reply(tool_calls=[("calculate", {"expression": "1 + 1"})], entropies=[0.1]))
    mute = script(task, Reply("I do not know", entropies=[0.1]))
    agent = fixed_calls(ScriptedChatModel([right, wrong, mute]), task.tools, task.steps)
    node = best_of_n(agent, n=3, environment=lambda index, _: task.environment())
    result = await node.arun(task.input) if asynchronous else node.run(task.input)
    assert [len(trajectory.calls) for trajectory in result.trajectories] == [4, 4, 4]
    assert [task.verdict(Outcome(action)) for action in result.final_actions] == [True, False, False]


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="write sums"):
        load("sums:easy")
    with pytest.raises(ConfigError, match="at least 1"):
        load("sums", steps=0)
    assert not load("sums", 1)[0].verdict(Outcome(AIMessage("")))
