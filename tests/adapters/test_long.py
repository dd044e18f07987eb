"""Our own long rollouts: right steps give the weight, every rollout is as long, and thinking comes first."""

from __future__ import annotations

import pytest
from gold import played
from langchain_core.utils.function_calling import convert_to_openai_tool

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load
from ec_agent.evaluation.adapters.long import WEIGHTS, Scales


def test_the_same_every_time():
    tasks = load("long")
    assert tasks[0].input["messages"] == load("long", 1)[0].input["messages"]
    assert len({task.id for task in tasks}) == len(tasks) == 200
    assert load("long", 1, seed=1)[0].things != tasks[0].things


def test_gold_is_accepted_in_any_order():
    for task in load("long"):
        assert task.steps == len(task.gold) == 10
        assert played(task, task.gold)
        assert played(task, task.gold[::-1])


@pytest.mark.members(3)
@pytest.mark.parametrize("wrong", range(10))
def test_a_wrong_thing_is_refused_and_changes_no_length(wrong):
    for task in load("long"):
        calls = list(task.gold)
        calls[wrong] = ("weigh", {"thought": "", "item": next(item for item in WEIGHTS if item not in task.things)})
        assert not played(task, calls)
        assert not played(task, task.gold[:wrong])


def test_the_state_is_in_the_result():
    scales = Scales(["mug", "lamp", "vase"])
    assert scales.weigh("lamp") == "The list: mug, vase."
    assert scales.weigh("lamp") == "The list: vase."
    assert scales.weigh("nothing") == "Weight: 2400 g"
    assert scales.weigh("vase") == "Weight: 2400 g"


def test_thinking_comes_first_and_is_long():
    schema = convert_to_openai_tool(load("long", 1)[0].tools[0])["function"]["parameters"]
    assert list(schema["properties"]) == ["thought", "item"]
    assert schema["properties"]["thought"]["minLength"] == 80
    assert schema["properties"]["item"]["enum"] == list(WEIGHTS)
    assert all(len(args["thought"]) >= 80 for task in load("long") for _, args in task.gold)


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="write long"):
        load("long:easy")
    for steps in (0, 13):
        with pytest.raises(ConfigError, match="give 1 to 12"):
            load("long", steps=steps)
