"""reasoning-gym: every data set's own answers are accepted by its own scorer."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from published import COMPILED, needs

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import common, load
from ec_agent.evaluation.tasks import Outcome, Task

needs("reasoning_gym", why=COMPILED)

# These score answers, but carry none that they accept; composite is a mixture of others and has to be configured.
WITHOUT_GOLD = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
# Its scorer looks for "True" alone, and takes whatever else for a "False".
BELIEVES_ANYTHING = {"game_of_life_halting"}


def data_sets():
    gym = common.package("reasoning_gym")
    return sorted(set(gym.factory.DATASETS) - {"composite"})


def verdict(task, text):
    return task.verdict(Outcome(AIMessage(text)))


def test_gold_is_accepted():
    sets = {name: load(f"reasoning_gym:{name}", 2) for name in data_sets()}
    assert len(sets) == 105
    assert {name for name, tasks in sets.items() if any(task.gold is None for task in tasks)} == WITHOUT_GOLD
    scored = [task for tasks in sets.values() for task in tasks if task.gold is not None]
    assert len(scored) == 200
    assert all(isinstance(task, Task) for task in scored)
    assert [task.id for task in scored if verdict(task, task.gold) != 1] == []
    believed = {task.id.split("-")[0] for task in scored if verdict(task, "certainly wrong") == 1}
    assert believed <= BELIEVES_ANYTHING


def test_where_the_answer_is_looked_for():
    task = load("reasoning_gym:chain_sum", 1)[0]
    assert verdict(task, f"Let me think. <answer>7</answer> No: <answer> {task.gold}\n</answer> is it.") == 1
    assert verdict(task, f"Let me think. {task.gold} <answer>7</answer>") == 0
    assert verdict(task, "") == 0


def test_the_same_every_time():
    first, again = (load("reasoning_gym:chain_sum", 3, seed=5, min_terms=2, max_terms=2) for _ in range(2))
    assert [task.input for task in first] == [task.input for task in again]
    assert len({task.id for task in first}) == 3


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="has no data set 'sums'; it has ab, "):
        load("reasoning_gym:sums")
    with pytest.raises(ConfigError, match=r"takes other settings .*colour"):
        load("reasoning_gym:chain_sum", 1, colour="red")
    with pytest.raises(ConfigError, match="takes other settings"):
        load("reasoning_gym:composite", 1)
