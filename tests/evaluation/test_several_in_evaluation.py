"""A list of agents in an evaluation: rollout i of each task runs agent i, in turn."""

from __future__ import annotations

import pytest
from eval_fakes import rollouts, tasks
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from typing_extensions import TypedDict

from ec_agent.errors import ConfigError, TraceError
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate

SETTINGS = RunSettings(n=4, seed=1)


def says(text, schema=MessagesState):
    builder = StateGraph(schema)
    builder.add_node("node", lambda state: {"messages": [AIMessage(text)]})
    builder.add_edge(START, "node")
    return builder.compile(name=text)


def answers(path, kind="sample"):
    found = {(each.key.task, each.key.number): each.final_action.content for each in rollouts(path, kind)}
    return [found[key] for key in sorted(found)]


def test_they_take_turns_in_each_task_and_the_greedy_one_is_the_firsts(path):
    evaluate(tasks(2), [says("right"), says("wrong"), says("none")], path, SETTINGS)
    assert answers(path) == ["right", "wrong", "none", "right"] * 2
    assert answers(path, "greedy") == ["right"] * 2


def test_a_function_of_the_task_may_be_among_them(path):
    def make(task):
        return says(f"for {task.id}")

    evaluate(tasks(1), (says("right"), make), path, RunSettings(n=2, greedy=False))
    assert answers(path)[0] == "right"
    assert answers(path)[1].startswith("for ")


def test_a_file_goes_on_with_the_same_agents_only(path):
    evaluate(tasks(1), [says("right"), says("wrong")], path, SETTINGS)
    with pytest.raises(TraceError, match=r"wrong\+right"):
        evaluate(tasks(2), [says("wrong"), says("right")], path, SETTINGS)


class Other(TypedDict):
    messages: list


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        ([], "agent is .*; give a compiled graph"),
        ([3], "agent is .*; give a compiled graph"),
        (["x"], "'x' does not say where to find an agent; write module:name"),
    ],
    ids=["none", "number", "no place"],
)
def test_what_is_no_list_of_agents_is_refused(path, agents, said):
    with pytest.raises(ConfigError, match=said):
        evaluate(tasks(1), agents, path, SETTINGS)


def test_different_schemas_are_refused_before_anything_runs(path):
    with pytest.raises(ConfigError, match="have different state schemas"):
        evaluate(tasks(1), [says("right"), says("wrong", Other)], path, SETTINGS)
    assert not path.exists()
