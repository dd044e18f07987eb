"""Every argument's bad values, refused when ``best_of_n`` is called."""

from __future__ import annotations

import threading
import time

import kit
import pytest
from langgraph.func import task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteGraph
from naming import named

from ec_agent import AgentError, ConfigError, HEPConfig, Limits, LowestCentroid, Ranking, best_of_n


def agent(state):
    return {}


@pytest.mark.parametrize("n", [0, -1, True, False, 1.5, 8.0, "8", None, [8], float("nan"), 10**400 * -1])
def test_n(n):
    with pytest.raises(ConfigError, match=r"n is .*at least 1"):
        best_of_n(agent, n=n)


def test_a_large_n_is_a_number():
    assert best_of_n(agent, n=10**400)


class Nameless:
    signals = ("entropy",)

    def select(self, candidates):
        return Ranking((), {}, {})


class Unknown(Nameless):
    name = "unknown"
    signals = ("taste",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selector": LowestCentroid}, r"LowestCentroid\(\), not the class"),
        ({"selector": None}, "selector is None"),
        ({"selector": "lowest_centroid"}, "selector is 'lowest_centroid'"),
        ({"selector": lambda candidates: candidates[0]}, "selector is"),
        ({"selector": Nameless()}, "selector is"),
        ({"selector": Unknown()}, r"unknown signal 'taste'"),
        ({"config": None}, "config is None"),
        ({"config": {"top_percent": 1}}, r"HEPConfig\("),
        ({"config": (1, 80, 2)}, r"HEPConfig\("),
        ({"config": HEPConfig}, r"HEPConfig\("),
        ({"limits": None}, "limits is None"),
        ({"limits": {"max_concurrency": 2}}, r"Limits\("),
        ({"final_action": "last"}, "final_action is 'last'"),
        ({"route": "next"}, "route is 'next'"),
        ({"output": {"a": "b"}}, "output is"),
        ({"calls": ["model"]}, "calls is"),
        ({"sampling": {"seed": 1}}, "sampling is"),
        ({"on_missing": "ignore"}, "on_missing is 'ignore'.*'exclude', 'raise', 'score'"),
        ({"on_missing": None}, "on_missing is None"),
        ({"on_missing": ["raise"]}, "on_missing is"),
        ({"on_unscored": "last"}, "on_unscored is 'last'.*'raise', 'first'"),
        ({"on_unscored": True}, "on_unscored is True"),
        ({"min_coverage": -0.1}, "min_coverage is -0.1"),
        ({"min_coverage": 1.1}, "min_coverage is 1.1"),
        ({"min_coverage": 50}, "min_coverage is 50"),
        ({"min_coverage": float("nan")}, "min_coverage is nan"),
        ({"min_coverage": "half"}, "min_coverage is 'half'"),
        ({"min_coverage": None}, "min_coverage is None"),
        ({"min_coverage": True}, "min_coverage is True"),
        ({"selection_key": 3}, "selection_key is 3"),
        ({"selection_key": ["receipt"]}, "selection_key is"),
        ({"selection_key": ""}, "selection_key is ''"),
        ({"keep_logprobs": "yes"}, "keep_logprobs is 'yes'"),
        ({"keep_text": None}, "keep_text is None"),
        ({"temperature": 1}, "temperature.*the options of best_of_n are n, sampling, "),
        ({"Selector": LowestCentroid()}, "Selector.*the options of best_of_n are"),
    ],
    ids=named,
)
def test_options(options, message):
    with pytest.raises(ConfigError, match=message):
        best_of_n(agent, **options)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2"])
@pytest.mark.parametrize("name", ["max_concurrency", "recursion_limit"])
def test_limits(name, value):
    with pytest.raises(ConfigError, match=f"{name} is "):
        Limits(**{name: value})
    with pytest.raises(ConfigError, match="recursion_limit is None"):
        Limits(recursion_limit=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_percent": 101}, "top_percent"),
        ({"bottom_percent": -1}, "bottom_percent"),
        ({"consecutive_low": 0}, "low"),
    ],
)
def test_the_config_is_checked_where_it_is_made(options, message):
    with pytest.raises(ConfigError, match=message):
        HEPConfig(**options)


@pytest.mark.parametrize("bad", [None, 3, b"agent", {"a": 1}, [], object(), MessagesState])
def test_an_agent_that_cannot_run_is_refused(bad):
    if bad is MessagesState:
        bad = MessagesState(messages=[])
    with pytest.raises(AgentError, match="pass a compiled graph, a Runnable, or a function"):
        best_of_n(bad)


def test_a_text_that_names_no_place_is_told_what_a_place_is():
    with pytest.raises(AgentError, match='names no place; write "module:name"'):
        best_of_n("agent")


def test_a_graph_that_is_not_compiled_is_refused():
    with pytest.raises(AgentError, match=r"not compiled; pass builder\.compile\(\)"):
        best_of_n(StateGraph(MessagesState))


def test_a_remote_graph_is_refused_with_the_way_out():
    with pytest.raises(AgentError, match="wrap it in a function"):
        best_of_n(RemoteGraph("agent", url="http://127.0.0.1:1"))


def test_our_errors_are_value_and_type_errors():
    with pytest.raises(ValueError, match="n is 0"):
        best_of_n(agent, n=0)
    with pytest.raises(TypeError, match="agent"):
        best_of_n(3)


@pytest.mark.parametrize("config", [HEPConfig(), HEPConfig(5, 50, 3)])
def test_good_values_are_taken(config):
    node = best_of_n(
        agent,
        n=3,
        selector=LowestCentroid(),
        config=config,
        min_coverage=0,
        on_missing="score",
        on_unscored="first",
        selection_key="receipt",
        limits=Limits(max_concurrency=2, recursion_limit=5),
        calls=lambda call: True,
    )
    assert node.name == "best_of_n"


class Crowd:
    """Counts who is inside at the same time; ``most`` is the largest count so far."""

    def __init__(self):
        self.lock, self.inside, self.most = threading.Lock(), 0, 0

    def visit(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.05)
        with self.lock:
            self.inside -= 1


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2, 2), (None, 4)])
def test_max_concurrency_bounds_the_rollouts(run, limit, most):
    crowd = Crowd()

    def busy(state):
        crowd.visit()
        return {"plain": kit.say(9, 3, 5, 7).invoke("?").content}

    node = best_of_n(busy, n=4, limits=Limits(max_concurrency=limit))
    assert run.invoke(kit.outer(node, kit.Items), {"items": []})["plain"] == "answer 1"
    assert crowd.most == most


def in_time(call):
    """The result of a call. A question that waits for ever would keep the whole suite."""
    said = []
    thread = threading.Thread(target=lambda: said.append(call()), daemon=True)
    thread.start()
    thread.join(60)
    (result,) = said
    return result


@pytest.mark.parametrize("called", [False, True], ids=["graph", "function that calls it"])
@pytest.mark.parametrize(("config", "most"), [({"max_concurrency": 1}, 1), ({"max_concurrency": 2}, 2), ({}, 3)])
def test_the_runs_max_concurrency_bounds_the_agents_nodes(run, config, most, called):
    crowd = Crowd()

    def busy(state):
        crowd.visit()
        return {"items": [1]}

    builder = StateGraph(kit.Items)
    builder.add_node("ask", lambda s: kit.say(3).invoke("?") and None)
    builder.add_edge(START, "ask")
    for name in "abc":
        builder.add_node(name, busy)
        builder.add_edge("ask", name)
    agent = builder.compile()
    node = best_of_n((lambda state: agent.invoke(state)) if called else agent, n=1)
    said = in_time(lambda: run.invoke(kit.outer(node, kit.Items), {"items": []}, config))
    assert said["items"] == [1, 1, 1]
    assert crowd.most == most


@pytest.mark.parametrize("most", [1, 2])
def test_the_runs_max_concurrency_bounds_the_tasks_of_a_function(most):
    crowd = Crowd()
    busy = task(lambda: crowd.visit())

    def function(state):
        kit.say(3).invoke("?")
        for each in [busy() for _ in range(6)]:
            each.result()
        return {"items": [1]}

    graph = kit.outer(best_of_n(function, n=1), kit.Items)
    said = in_time(lambda: graph.invoke({"items": []}, {"max_concurrency": most}))
    assert said["items"] == [1]
    assert crowd.most <= most + 1  # the place in which the stream waits is free at times


def test_a_class_is_no_agent():
    with pytest.raises(AgentError, match="the class LowestCentroid"):
        best_of_n(LowestCentroid)


def test_what_it_is_shows():
    assert repr(best_of_n(kit.chat(kit.say(1)), n=3)) == "best_of_n(LangGraph, n=3, selector=lowest_centroid)"


def test_a_misspelt_option_is_named():
    with pytest.raises(ConfigError, match=r"^best_of_n got an unexpected .* 'selection_keys'; the options"):
        best_of_n(kit.chat(kit.say(1)), selection_keys="x")
