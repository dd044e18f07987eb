"""What the command line may name, and what is said where nothing is there."""

from __future__ import annotations

import sys

import pytest
from eval_fakes import Calls, agent_of, tasks
from fake_cluster import FakeEngine

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.adapters import load
from ec_agent.evaluation.agent_place import load_agent
from ec_agent.evaluation.loading import load_tasks
from ec_agent.evaluation.one_rollout import is_factory
from ec_agent.evaluation.runner import evaluate

MODULE = """
from eval_fakes import Right, agent_of, Calls

listed = [Right("a"), Right("b"), Right("c")]

def given():
    return iter(listed)

def failing():
    raise KeyError("gone")

def breaking():
    yield listed[0]
    raise KeyError("gone")

graph = agent_of(Calls())

def made():
    return graph

def for_each(task):
    return graph

def function_agent(state):
    return state

def with_model(model):
    return ("agent on", model)

def with_both(task, model=None):
    return (task, model)

class Box:
    inner = listed

number = 3
text = "ab"
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_places.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("1 / 0")
    (tmp_path / "my_script.py").write_text("import sys; sys.exit(2)")
    (tmp_path / "my_needy.py").write_text("import no_such_package_here")
    yield
    for name in ("my_places", "my_broken", "my_script", "my_needy"):
        sys.modules.pop(name, None)


def ids(source, limit=None):
    return [task.id for task in load_tasks(source, limit)]


def test_tasks_are_found_in_a_module_by_name():
    assert ids("my_places:listed") == ids("my_places:given") == ids("my_places:Box.inner") == ["a", "b", "c"]
    assert ids("my_places:given", limit=2) == ["a", "b"]


def test_agents_are_found_in_a_module_by_name():
    graph = load_agent("my_places:graph")
    assert load_agent("my_places:made") is graph
    assert load_agent("my_places:for_each").__name__ == "for_each"
    assert load_agent("my_places:function_agent").__name__ == "function_agent"


class Named:
    """Stands in for ``ModelSettings``."""

    def build(self):
        return "the model"


def test_agents_that_are_made_with_a_model():
    assert load_agent("my_places:with_model", Named()) == ("agent on", "the model")
    assert load_agent("my_places:with_both", Named())("a task") == ("a task", "the model")
    assert load_agent("my_places:with_both")("a task") == ("a task", None)
    assert is_factory(load_agent("my_places:with_both", Named()))


@pytest.mark.parametrize(
    ("place", "model", "words"),
    [
        ("my_places:with_model", None, "needs a model; name one with --model"),
        ("my_places:graph", Named(), "takes no model; name a function with a parameter named model"),
        ("my_places:for_each", Named(), "takes no model"),
        ("my_places:function_agent", Named(), "takes no model"),
    ],
)
def test_a_model_too_many_or_too_few(place, model, words):
    with pytest.raises(ConfigError, match=words):
        load_agent(place, model)


@pytest.mark.parametrize(
    ("load", "place", "error", "words"),
    [
        (
            load_tasks,
            "nothing",
            ConfigError,
            "'nothing' names no tasks; give a .jsonl file, module:name, or an adapter",
        ),
        (load_tasks, "my_places:nothing", ConfigError, "my_places has no nothing; check the spelling"),
        (load_tasks, "my_nowhere:x", ConfigError, "there is no module my_nowhere"),
        (load_tasks, "my_broken:x", EvaluationError, "cannot be imported .ZeroDivisionError"),
        (load_tasks, "my_needy:x", EvaluationError, "needs no_such_package_here, which is not installed"),
        (load_tasks, "my_script:x", EvaluationError, "cannot be imported .SystemExit"),
        (load_tasks, "my_places:failing", EvaluationError, "my_places:failing failed .KeyError"),
        (load_tasks, "my_places:breaking", EvaluationError, "my_places:breaking failed .KeyError"),
        (load_tasks, "my_places:number", ConfigError, "is of type int; name a list of tasks"),
        (load_tasks, "my_places:text", ConfigError, "is of type str; name a list of tasks"),
        (load_tasks, "my-places:x", ConfigError, "does not say where to find tasks; write module:name"),
        (load_agent, "my_places", ConfigError, "does not say where to find an agent; write module:name"),
        (load_agent, "my_places:", ConfigError, "does not say where to find an agent"),
        (load_agent, "my_places:failing", EvaluationError, "my_places:failing failed .KeyError"),
    ],
)
def test_a_place_that_holds_nothing_is_refused_in_words(load, place, error, words):
    with pytest.raises(error, match=words):
        load(place)


def test_adapters_are_asked_by_name():
    assert ids("sums", limit=3) == [task.id for task in load("sums", limit=3)]
    assert len(ids("sums")) == 200


def test_a_part_that_an_adapter_does_not_have():
    with pytest.raises(ConfigError, match="sums has no part 'x'"):
        load_tasks("sums:x")


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (agent_of(Calls()), "CompiledStateGraph"),
        (len, "builtin_function_or_method"),
        (["my_places:graph", agent_of(Calls())], "CompiledStateGraph"),
    ],
    ids=["graph", "function", "one of two"],
)
def test_an_agent_that_is_an_object_is_not_sent_to_workers(agent, kind, tmp_path):
    engine = FakeEngine()
    with pytest.raises(ConfigError, match=rf"of type {kind}.; name the place .*: evaluate.tasks, .my_module:agent."):
        evaluate(tasks(1), agent, tmp_path / "traces.db", engine=engine)
    assert not engine.clusters
